/* main.c: silver-python, the program that does a service's work in Python. Its parent starts it:
 *
 *     silver-python SERVICE MODULE.py
 *
 * with its end of a wire (src/subsystem/worker.h). The service WEB_SERVICE is a web application's, and MODULE
 * its runner; of any other service MODULE holds the methods. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "embed.h"
#include "module.h"
#include "subsystem/worker.h"
#include "web.h"

/* Instead of READY. */
static int refuse(struct port *port, sl_error *error)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    trouble_put_error(error, &out);
    port_put(port, &(sl__packet){.kind = SL__FAILED}, &(struct iovec){out.data, out.size}, 1);
    port_flush(port);
    sl_error_unref(error);
    return 1;
}

static const char *application_directory(void)
{
    static char here[PATH_MAX];
    const char *said = getenv(WEB_ENV_DIRECTORY);
    if (said && said[0])
        return said;
    return getcwd(here, sizeof(here)) ? here : "/";
}

static int work(struct port *port, const char *service, const char *path)
{
    struct embed_options options = {
        .application = application_directory(), .venv = getenv(WEB_ENV_VENV), .script = path};
    module_set(port, options.application);
    sl_error *error = NULL;
    if (embed_start(&options, &error) < 0)
        return refuse(port, error);
    const char *object = getenv(WEB_ENV_OBJECT);
    int status = strcmp(service, WEB_SERVICE) == 0
                     ? web_run(port, path, object && object[0] ? object : "application")
                     : service_run(port, service, path);
    embed_stop();
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr,
                "silver-python: silver starts this program; it takes a service's name and a Python file\n");
        return 2;
    }
    sl__wire *wire;
    int code = sl__worker_join(&wire);
    if (code < 0) {
        fprintf(stderr, "silver-python: silver starts this program: %s\n", sl_code_message(code));
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* as Python has it: a write fails instead */
    return work(port_new(wire), argv[1], argv[2]);
}
