/* module.c: see module.h. */
#include "module.h"

#include <stdlib.h>

#include "asgi.h"
#include "embed.h"
#include "transaction.h"
#include "upcall.h"

static struct port *the_port;
static const char *the_application = "";

void module_set(struct port *port, const char *application)
{
    the_port = port;
    the_application = application;
}

/* ---- The log ----------------------------------------------------------------------------------------- */

static PyObject *silver_log(PyObject *module, PyObject *arguments)
{
    int level;
    const char *logger;
    PyObject *message;
    if (!PyArg_ParseTuple(arguments, "isU:log", &level, &logger, &message))
        return NULL;
    /* What is no text (lone surrogates) is shown. */
    PyObject *bytes = PyUnicode_AsEncodedString(message, "utf-8", "backslashreplace");
    if (!bytes)
        return NULL;
    port_log(the_port,
             level < SL_DEBUG   ? SL_DEBUG
             : level > SL_ERROR ? SL_ERROR
                                : (sl_level)level,
             logger, PyBytes_AS_STRING(bytes));
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

/* ---- Who we are -------------------------------------------------------------------------------------- */

static PyObject *silver_log_level(PyObject *module, PyObject *nothing)
{
    const char *level = getenv(WEB_ENV_LEVEL);
    return PyUnicode_FromString(level ? level : "info");
}

static PyObject *silver_venv(PyObject *module, PyObject *nothing)
{
    const char *venv = embed_venv();
    return venv ? PyUnicode_DecodeFSDefault(venv) : Py_NewRef(Py_None);
}

static PyObject *silver_application(PyObject *module, PyObject *nothing)
{
    return PyUnicode_DecodeFSDefault(the_application);
}

/* ---- The context ------------------------------------------------------------------------------------- */

static PyObject *work_variable; /* a contextvars.ContextVar that holds such a dictionary, in a loop */
static PyObject *place;         /* what all have */

static PyObject *make_place(void)
{
    const char *name = getenv(WEB_ENV_NAME), *instance = getenv(WEB_ENV_INSTANCE);
    return Py_BuildValue("{s:s,s:i,s:s}", "application", name ? name : "", "instance",
                         instance ? atoi(instance) : 0, "directory", the_application);
}

PyObject *module_with_place(PyObject *dict)
{
    if (dict && PyDict_Update(dict, place) < 0)
        Py_CLEAR(dict);
    return dict;
}

static PyObject *request_context(const struct web_request *request)
{
    return Py_BuildValue("{s:s,s:s,s:s,s:N,s:s}", "request_id", request->id, "peer", request->peer, "method",
                         request->method, "path",
                         PyUnicode_DecodeUTF8(request->path.data ? request->path.data : "",
                                              (Py_ssize_t)request->path.size, "replace"),
                         "scheme", request->scheme);
}

static PyObject *silver_context(PyObject *module, PyObject *nothing)
{
    struct web_thread *thread = web_thread_here();
    if (thread && thread->request)
        return module_with_place(request_context(thread->request));
    if (thread && thread->work && thread->web->context)
        return module_with_place(thread->web->context(thread));
    PyObject *value = NULL;
    if (PyContextVar_Get(work_variable, NULL, &value) < 0)
        return NULL;
    if (value)
        return module_with_place(value);
    PyObject *dict = asgi_context();
    return dict && PyDict_GET_SIZE(dict) ? module_with_place(dict) : dict;
}

static PyMethodDef methods[] = {
    {"log", silver_log, METH_VARARGS, "log(level, logger, message): a record for the slot's log"},
    {"log_level", silver_log_level, METH_NOARGS, "the slot's level"},
    {"context", silver_context, METH_NOARGS, "what holds for the work that is done now"},
    {"venv", silver_venv, METH_NOARGS, "the virtualenv that is used, or None"},
    {"transaction", transaction_here, METH_O,
     "transaction(make): what the request here has of silver.transaction"},
    {"application", silver_application, METH_NOARGS, "the application's directory"},
    {0},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_silver",
                                        .m_doc = "The worker's side of the package silver.", .m_size = -1,
                                        .m_methods = methods};

PyObject *module_init(void)
{
    PyObject *module = PyModule_Create(&definition);
    work_variable = module ? PyContextVar_New("silver.context", NULL) : NULL;
    place = work_variable ? make_place() : NULL;
    if (!place || PyModule_AddObjectRef(module, "work", work_variable) < 0 ||
        upcall_open(module, the_port) < 0)
        Py_CLEAR(module);
    return module;
}
