/* tool.h: runs the programs that a build needs (compiler, linker, pkg-config) and keeps what they print.
 *
 * Blocking, and for use before a loop runs. A tool dies with the process that runs it. */
#pragma once

#include <silver/base.h>
#include <sys/types.h>

#define TOOL_OUTPUT_MAX (256 * 1024)

/* A growing vector of arguments; zero-initialised is empty. The strings are its own. */
struct arguments {
    char **items; /* NULL-terminated once something was put in */
    size_t count;
};
void arguments_put(struct arguments *list, const char *argument);
/* Puts in the words of a line, which blanks part. */
void arguments_put_words(struct arguments *list, const char *line);
void arguments_put_all(struct arguments *list, const struct arguments *more);
void arguments_done(struct arguments *list);

struct tool {
    pid_t pid;
    int output; /* a nameless file: standard output and error together */
};
/* Starts a program, found in PATH, in a directory. 0 or a code; that the program does not exist is told by
 * tool_wait. */
int tool_start(const struct arguments *arguments, const char *directory, struct tool *ret_tool);
/* Waits for its end and appends what it printed (at most TOOL_OUTPUT_MAX bytes). Its exit status; SL_ENOENT
 * if there is no such program; 1000 plus the signal that ended it. */
int tool_wait(struct tool *tool, sl_buffer *output);
