/* module.h: the built-in module `_silver`: what the package `silver` is made of. */
#pragma once

#include "gil.h"
#include "port.h"
#include "web.h"

PyObject *module_init(void);
/* Who this worker is; before the interpreter starts. `application` is its directory. */
void module_set(struct port *port, const char *application);
/* Adds to what silver.context shows of some work (a dictionary, or NULL with an exception) where it is done:
 * the same dictionary, or NULL. */
PyObject *module_with_place(PyObject *dict);
