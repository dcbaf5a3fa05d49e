/* transaction.h: what a request does in databases is one transaction. Python's part of that is
 * silver/transaction.py and silver/_request.py; this is where a request carries it, and when it is ended.
 *
 * A request has a slot, which is empty until silver.transaction is first used in it. As long as it is, all
 * this costs one look at a pointer. */
#pragma once

#include "gil.h"

/* _silver.transaction(make): what the slot of the request that is handled here holds; when it is empty, what
 * make(whether the response has begun) gives is put there, if make is not None. None where there is no
 * request. */
PyObject *transaction_here(PyObject *module, PyObject *make);

/* (GIL) Before the client hears the status, and before it hears the end of the body: commits, or rolls back.
 * 0; -1 with an exception: it must not hear of success. */
int transaction_settle(PyObject *transaction, int status);
/* (GIL) The request is over; an exception that is set says that it failed, and stays. Empties the slot. 0; -1
 * with an exception. */
int transaction_end(PyObject **slot);
/* (GIL) What an ASGI application's send gives for a message; `send` is the plain one. */
PyObject *transaction_send(PyObject *transaction, PyObject *message, PyObject *send);
