/* watch.c: tells what changes in a directory: `watch DIRECTORY`, until Ctrl-C; with a second argument, so
 * many changes. */
#include <silver/silver.h>

#include <stdio.h>
#include <stdlib.h>

static void free_watch(void *watch)
{
    sl_watch_free(watch);
}

static void *program(void *data)
{
    char **arguments = data;
    sl_watch *watch;
    sl_check(sl_watch_new(arguments[1], /* recursive= */ true, &watch), "cannot watch %s", arguments[1]);
    sl_defer(free_watch, watch);
    puts("watching");
    fflush(stdout);
    for (int left = arguments[2] ? atoi(arguments[2]) : -1; left != 0; left -= left > 0) {
        puts((char *)sl_await(sl_watch_next(watch)));
        fflush(stdout);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: watch DIRECTORY [CHANGES]\n");
        return 2;
    }
    return sl_run("watch", program, argv, NULL) < 0;
}
