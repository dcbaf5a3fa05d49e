/* supervisor.h: keeps N instances of one application going.
 *
 * Each instance has a place. A place has one that serves and, while it is being replaced, another that
 * starts; the first goes only when the second is ready, so a reload refuses nobody and a failed one changes
 * nothing. Instances are strangers to the supervisor: it only sees their pipes and their ends. */
#pragma once

#include <silver/core.h>
#include "run/daemon.h"
#include "run/logs.h"
#include "run/manifest.h"
#include "run/services.h"

struct supervisor;
struct member;
struct json_t;

struct supervisor_options {
    const struct manifest *manifest;
    const char *logs; /* the log directory that instances write access logs to */
    unsigned instances;
    unsigned slot;   /* its position in the manifest */
    int slot_number; /* its name */
    const char *url; /* and the time of sl_loop_now at which it began, for whoever asks */
    uint64_t started_at;
    const char *report_path; /* of the socket that `silver status` asks; NULL: none */
    bool production;
    int listener;  /* the listening socket; taken over: it is closed when the stop begins */
    bool borrowed; /* it came by socket activation */
    struct log_file *log;
    const struct notify *notify;
    struct services *services; /* looked after, and asked for more when the manifest does */
    void (*ready)(void *data); /* once, when all instances are ready */
    void *data;
};

/* Runs until it is told to stop, on the calling thread's loop, which it frees. The exit status: 0 drained, 1
 * not started or stopped at once. */
int supervisor_run(sl_loop *loop, const struct supervisor_options *options);

/* overview.c: all that is known of the slot now. A new reference. */
struct json_t *overview(const struct supervisor_options *options, const struct member *members, uint64_t now);
