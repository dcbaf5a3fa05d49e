/* member.h: one instance as the supervisor sees it: a process, the control socket, and the pipe of what it
 * prints. */
#pragma once

#include <silver/core.h>
#include "run/logs.h"
#include <uv.h>

struct member;

enum member_state {
    MEMBER_STARTING,
    MEMBER_READY,
    MEMBER_DRAINING,
};

struct member_events {
    void (*ready)(struct member *member);
    void (*reported)(struct member *member); /* its report has come */
    /* It has ended, and all that it printed was logged. `reason` says how in words. The member is freed
     * afterwards. */
    void (*ended)(struct member *member, const char *reason);
};

struct member {
    struct member *next; /* the supervisor's list of all */
    void *owner;
    const struct member_events *events;
    struct log_file *log;
    unsigned place;
    enum member_state state;
    uint64_t started_at, ready_at; /* ms, of the loop's clock */
    struct json_t *report;         /* what it said of itself when it was asked last; NULL: has not answered */
    bool asked;                    /* since */
    int status, signal;
    bool broken;   /* it serves the page of an error */
    bool explains; /* of the end of the one before */
    uv_process_t process;
    uv_pipe_t control, output;
    uv_timer_t patience; /* with its drain */
    uv_timer_t beat;
    uint64_t silence_ms;
    unsigned unanswered; /* beats in a row */
    uint64_t said_at;    /* when it printed last, of sl_monotonic_ns */
    struct log_lines lines;
    sl_buffer heard;
    unsigned handles;
    char chunk[16384];
};

struct member_options {
    const char *directory, *logs, *words, *app_name; /* arguments of `silver instance` */
    const char *why; /* the one before ended so, at its start: that is to be served; or NULL */
    unsigned place;
    uint64_t silence_ms;   /* for so long it may leave heartbeats unanswered */
    int listener, metrics; /* descriptors to pass on; metrics -1: none */
};

/* Starts one. 0 or a code. It is freed by itself when it has ended. */
int member_start(sl_loop *loop, const struct member_options *options, void *owner,
                 const struct member_events *events, struct log_file *log, struct member **ret_member);
/* Sends a line of control.h. */
void member_ask(struct member *member, const char *line);
/* Asks it for a report; the one before is dropped. */
void member_ask_report(struct member *member);
/* Whether it serves, and answered when it was asked last. */
bool member_answers(const struct member *member);
/* Asks it to finish what it does and go, and ends it if it has not gone after `patience_ms`; one that is not
 * ready yet is ended at once. */
void member_drain(struct member *member, uint64_t patience_ms);
void member_kill(struct member *member);
