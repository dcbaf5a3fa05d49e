/* reporter.h: answers `silver status`.
 *
 * A supervisor listens on a Unix socket beside its slot's file. Whoever connects, as the same user or as
 * root, gets one JSON object: how this slot serves and what its instances and their services do. The
 * instances are asked for that anew each time; one that does not answer within REPORT_MS is told as such. */
#pragma once

#include <silver/core.h>
#include <jansson.h>

#define REPORT_MS 2000
#define REPORT_CLIENTS_MAX 16
#define REPORT_SIZE_MAX (16u << 20)

struct reporter;

struct reporter_events {
    void (*ask)(void *data);        /* all instances for a report */
    bool (*complete)(void *data);   /* whether all that were asked have given one */
    json_t *(*compose)(void *data); /* what is known; a new reference */
};

/* Where the supervisor of a slot listens. malloc'ed. */
char *reporter_path(const char *runtime, int slot);
/* 0, or a code with *ret_error. */
int reporter_new(sl_loop *loop, const char *path, const struct reporter_events *events, void *data,
                 struct reporter **ret_reporter, sl_error **ret_error);
/* A report has come, or one that was asked is gone. Takes NULL. */
void reporter_heard(struct reporter *reporter);
/* Closes it, and removes its socket; it is freed by the loop's next passes. Takes NULL. */
void reporter_stop(struct reporter *reporter);
