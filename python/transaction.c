/* transaction.c: see transaction.h. */
#include "transaction.h"

#include "asgi.h"
#include "web.h"

/* The slot of the request that is handled here, what keeps it alive (a new reference, or NULL), and whether
 * its response has begun. */
static PyObject **slot_here(PyObject **ret_holder, bool *ret_started)
{
    struct web_thread *thread = web_thread_here();
    *ret_holder = NULL;
    if (!thread)
        return asgi_transaction(ret_holder, ret_started);
    *ret_started = thread->started;
    return thread->request ? &thread->transaction : NULL;
}

PyObject *transaction_here(PyObject *module, PyObject *make)
{
    bool started = false;
    PyObject *holder, *made = NULL, **slot = slot_here(&holder, &started);
    if (slot && !*slot && make != Py_None) {
        made = PyObject_CallOneArg(make, started ? Py_True : Py_False);
        if (made && !*slot) /* or another thread of the request was quicker */
            *slot = Py_NewRef(made);
    }
    PyObject *found = PyErr_Occurred() ? NULL : Py_NewRef(slot && *slot ? *slot : Py_None);
    Py_XDECREF(made);
    Py_XDECREF(holder);
    return found;
}

static int called(PyObject *done)
{
    Py_XDECREF(done);
    return done ? 0 : -1;
}

int transaction_settle(PyObject *transaction, int status)
{
    return called(PyObject_CallMethod(transaction, "settle", "i", status));
}

int transaction_end(PyObject **slot)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    /* The slot is emptied afterwards: what is called finds the request's transaction there. */
    int code = called(PyObject_CallMethod(*slot, "end", "O", type ? Py_True : Py_False));
    Py_CLEAR(*slot);
    if (!type)
        return code;
    if (code < 0)
        PyErr_WriteUnraisable(NULL);
    PyErr_Restore(type, value, traceback);
    return -1;
}

PyObject *transaction_send(PyObject *transaction, PyObject *message, PyObject *send)
{
    return PyObject_CallMethod(transaction, "send", "OO", message, send);
}
