/* python.h: what the runner for Python's files share.
 *
 * runner_python.c says what an application in Python is made of and what is wrong with it; web_start.c has
 * workers started for it; web_handler.c, web_body.c, web_response.c and web_socket.c hand them requests. */
#pragma once

#include "run/runner.h"

/* The virtualenv's directory, absolute, which need not be there: the manifest's, else venv/ or .venv/ of the
 * application, else $VIRTUAL_ENV. NULL: none. malloc'ed. */
char *python_virtualenv(const struct manifest *manifest);
/* Whether the application says which packages it needs. */
bool python_asks_packages(const struct manifest *manifest);
/* The command that looks for what is wrong: its standard output is for python_complaints. With `sources` the
 * Python files are compiled too. False where there is no Python to do it. */
bool python_check_command(const struct manifest *manifest, bool sources, struct arguments *command);
/* Looks for what is wrong: missing packages, and mistakes in the sources of the application and its plug-ins,
 * which may be an application in C with plug-ins in Python. Blocks. */
void python_find_wrong(const struct manifest *manifest, struct complaints *complaints);
/* Adds what the command found. 0, or SL_EPARSE for what it never prints. */
int python_complaints(const char *output, size_t size, struct complaints *complaints);

/* web_start.c: of runner_python. */
int web_load(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
             sl_error **ret_error);
