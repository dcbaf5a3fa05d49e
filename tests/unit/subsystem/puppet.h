/* puppet.h: a child process whose parent the test plays, over a wire, without a manager. */
#pragma once

#include "check.h"
#include "subsystem/value.h"

#include <sys/types.h>

typedef struct puppet {
    sl__wire *wire;
    pid_t pid;
    int output; /* what it prints can be read here */
    uint64_t calls;
    sl_buffer logged; /* "level message\n" of the records that came meanwhile */
    sl_buffer scratch;
    sl__value last;  /* result */
    sl_arena *arena; /* in which it stands */
} puppet;

/* The path of one of the modules of tests/unit/subsystem/modules. */
char *module_path(const char *name);
/* Starts silver-worker SERVICE MODULE. */
void puppet_start(puppet *p, const char *service, const char *module);
/* The next packet that is no record of the log; fails the test if none comes. */
void puppet_next(puppet *p, sl__packet *ret_packet);
/* Until HELLO and READY have come. */
void puppet_ready(puppet *p);
/* Until it says that it does not start: why. The caller frees it. */
sl_error *puppet_refuses(puppet *p);
/* Calls a method of `sums`; gives the number. */
uint64_t puppet_call(puppet *p, unsigned method, const void *arguments);
/* Waits for the result of that call; it lives until the next. */
void *puppet_result(puppet *p, uint64_t number, unsigned method);
/* Waits for its failure. The caller frees it. */
sl_error *puppet_failure(puppet *p, uint64_t number);
/* Its end: what waitpid says. */
int puppet_end(puppet *p);
/* Says STOP, and checks that it closes its service and goes with status 0. */
void puppet_stop(puppet *p);
/* What it printed until its end, or until `size` bytes. */
char *puppet_printed(puppet *p);
