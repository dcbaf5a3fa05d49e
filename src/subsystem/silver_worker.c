/* silver_worker.c: the program that does the work of a service written in C. A manager starts it. */
#include "subsystem/worker.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("silver-worker: a program of libsilver, which starts it for the services of an application\n"
              "usage: silver-worker SERVICE MODULE\n",
              stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* what is printed before a crash is seen */
    return sl__worker_run(argv[1], argv[2]);
}
