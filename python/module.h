/* module.h: the built-in module `_silver`: what the package `silver` is made of. */
#pragma once

#include "gil.h"
#include "port.h"

PyObject *module_init(void);
/* Who this worker is; before the interpreter starts. `application` is its directory. */
void module_set(struct port *port, const char *application);
/* A contextvars.ContextVar: what silver.context shows where no thread of WSGI runs a request: a dictionary.
 */
PyObject *module_context_variable(void);
struct web_request;
/* Such a dictionary of a request; a new reference, or NULL with an exception. */
PyObject *module_request_context(const struct web_request *request);
