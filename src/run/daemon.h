/* daemon.h: what a process owes to those who started it: going to the background, a pid file, and systemd's
 * protocols. */
#pragma once

#include <silver/base.h>
#include <sys/types.h>

/* Goes to the background. In the child returns 0, and *ret_report is where to tell daemon_ready; the parent
 * waits for that, prints it, and the call returns 1 there with the exit status in *ret_status. Call it before
 * there are threads. */
int daemon_start(int *ret_report, int *ret_status);
/* Lets the parent print `text` and succeed. Closes `report`. */
void daemon_ready(int report, const char *text);

/* Writes this process's number into the file and holds it by a lock, until *ret_fd is closed: a file that was
 * left behind has none, and is taken over. 0, or *ret_error says why not (SL_EBUSY: another process holds
 * it). */
int pidfile_take(const char *path, int *ret_fd, sl_error **ret_error);
/* Removes the file if it is still the one that was taken, and lets go of it. -1 is none. */
void pidfile_release(const char *path, int fd);

/* systemd, sd_notify(3): sends a state ("READY=1") to $NOTIFY_SOCKET. Without it nothing happens. */
struct notify {
    char *path;           /* NULL: nobody listens */
    uint64_t watchdog_ms; /* how often it wants to hear WATCHDOG=1; 0: never */
};
/* Reads the environment and takes out of it what is not for children. */
void notify_init(struct notify *notify);
void notify_send(const struct notify *notify, const char *state);
void notify_done(struct notify *notify);
/* systemd, sd_listen_fds(3): the first listening socket that was handed over, or -1. Taken out of the
 * environment. */
int activation_socket(void);
