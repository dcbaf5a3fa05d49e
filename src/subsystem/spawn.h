/* spawn.h: a program started as a child, with nothing of ours but what it shall have. */
#pragma once

#include "subsystem/child.h"

#include <sys/types.h>

/* Starts options->argv in a process group of its own, with /dev/null to read, `printed` for its output and
 * its errors, and the two descriptors of a wire at their places; all signals as they are by default. 0, and
 * its pid and a descriptor of it; or the system's code. */
int sl__spawn_child(const sl__child_options *options, int printed, const int wire[2], pid_t *ret_pid,
                    int *ret_pidfd);
