/* embed.h: CPython inside this process: one interpreter, started so that it is the same everywhere.
 *
 * Neither PYTHON… variables nor the user's own site-packages count; the application's virtualenv does, with
 * its .pth files, and so does what travels with the application in lib/python/. */
#pragma once

#include "gil.h"
#include <silver/record.h>

struct embed_options {
    const char *application; /* its directory, absolute */
    const char *venv;   /* its virtualenv's directory, or NULL: venv/ or .venv/ in the application, if any */
    const char *script; /* sys.argv[0] */
};

/* Starts it. The calling thread has the GIL then. 0; or a code with *ret_error. */
int embed_start(const struct embed_options *options, sl_error **ret_error);
/* Ends it: atexit functions run, what is open is flushed. */
void embed_stop(void);

/* The directory in which the Python files of ours lie (the package `silver`), with this program's. */
const char *embed_library(void);
const char *embed_venv(void); /* the virtualenv that is used, or NULL */

/* Calls silver.MODULE.FUNCTION(arguments as of Py_BuildValue, in a tuple); a new reference or NULL. */
PyObject *embed_call(const char *module, const char *function, const char *format, ...);

/* trouble.c: the exception that is set now, which is cleared, as an error for the parent: its last line is
 * the message, the traceback the detail, its frames the places. Appended to `out`, flat. */
void trouble_put(sl_buffer *out);
/* The same of an error of ours. */
void trouble_put_error(const sl_error *error, sl_buffer *out);
/* Logs the exception that is set now, and clears it, with words before it: "close() failed". */
struct port;
void trouble_log(struct port *port, const char *words);
