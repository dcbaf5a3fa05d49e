/* remote_inside.h: what the files of a child's remote share.
 *
 *     remote.c       calls
 *     remote_bus.c   events, and the log */
#pragma once

#include "subsystem/method.h"
#include "subsystem/remote.h"

#define SL__ASKED_BUCKETS 64
#define SL__ASKED_MAX 4096u               /* calls of a child that have no answer yet */
#define SL__REMOTE_BACKLOG_MAX (8u << 20) /* bytes: beyond, neither events nor records of the log go up */

typedef struct sl__asked sl__asked;

typedef struct sl__digested {
    const sl_service *service;
    uint64_t digest;
} sl__digested;

struct sl__remote {
    struct sl_caller caller; /* the first: it stands for the whole */
    sl_root *root;
    sl__wire *wire;
    sl__asked *asked[SL__ASKED_BUCKETS];
    unsigned asked_count;
    uint64_t last_number;
    sl_table *codecs; /* by service: how its arguments go, if that is known; the index plus 1 */
    sl__digested digests[8];
    sl_buffer arguments, scratch;

    sl_logger logger;
    sl_buffer record; /* of the log: made while another packet may be */
    size_t dropped_events, dropped_records;
};

void sl__remote_calls_begin(sl__remote *remote);
void sl__remote_calls_end(sl__remote *remote);
bool sl__remote_answer(sl__remote *remote, const sl__packet *packet);
