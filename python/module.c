/* module.c: see module.h. */
#include "module.h"

#include <stdlib.h>

#include "embed.h"
#include "upcall.h"
#include "web.h"

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
    const char *level = getenv("SILVER_LOG_LEVEL");
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

static PyObject *request_variable;

PyObject *module_context_variable(void)
{
    return request_variable;
}

PyObject *module_request_context(const struct web_request *request)
{
    return Py_BuildValue("{s:s,s:s,s:s,s:N,s:s,s:s}", "request_id", request->id, "peer", request->peer,
                         "method", request->method, "path",
                         PyUnicode_DecodeUTF8(request->path.data ? request->path.data : "",
                                              (Py_ssize_t)request->path.size, "replace"),
                         "scheme", request->scheme, "directory", the_application);
}

static PyObject *silver_context(PyObject *module, PyObject *nothing)
{
    struct web_thread *thread = web_thread_here();
    if (thread && thread->request)
        return module_request_context(thread->request);
    PyObject *value = NULL;
    if (PyContextVar_Get(request_variable, NULL, &value) < 0)
        return NULL;
    return value ? value : PyDict_New();
}

static PyMethodDef methods[] = {
    {"log", silver_log, METH_VARARGS, "log(level, logger, message): a record for the slot's log"},
    {"log_level", silver_log_level, METH_NOARGS, "the slot's level"},
    {"context", silver_context, METH_NOARGS, "what holds for the work that is done now"},
    {"venv", silver_venv, METH_NOARGS, "the virtualenv that is used, or None"},
    {"application", silver_application, METH_NOARGS, "the application's directory"},
    {0},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_silver",
                                        .m_doc = "The worker's side of the package silver.", .m_size = -1,
                                        .m_methods = methods};

PyObject *module_init(void)
{
    PyObject *module = PyModule_Create(&definition);
    request_variable = module ? PyContextVar_New("silver.context", NULL) : NULL;
    if (request_variable && upcall_open(module, the_port) < 0)
        Py_CLEAR(request_variable);
    if (!request_variable)
        Py_CLEAR(module);
    return module;
}
