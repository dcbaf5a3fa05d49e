/* version.c: `silver version`, and the standard output of all commands that print. */
#include "cli/parse.h"
#include "cli/print.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int sl__cli_write(sl_buffer *out)
{
    int status = SL__CLI_OK;
    for (size_t done = 0; done < out->size;) {
        ssize_t written = write(STDOUT_FILENO, out->data + done, out->size - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            if (errno != EPIPE) {
                fprintf(stderr, "silver: cannot write to the standard output: %s\n", strerror(errno));
                status = SL__CLI_FAILED;
            }
            break;
        }
        done += (size_t)written;
    }
    sl_buffer_done(out);
    return status;
}

int sl__cli_version(const sl__cli_parsed *parsed)
{
    sl_buffer out = {0};
    sl_buffer_puts(&out, "silver " SL_RELEASE "\n");
    return sl__cli_write(&out);
}
