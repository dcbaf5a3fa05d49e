/* embed.c: starts CPython. See embed.h. */
#include "embed.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module.h"

#define PYVENV_SIZE_MAX 65536

static char library[PATH_MAX], venv_used[PATH_MAX];

const char *embed_library(void)
{
    return library;
}

const char *embed_venv(void)
{
    return venv_used[0] ? venv_used : NULL;
}

/* Beside this program: in the build as where it is installed. */
static int find_library(sl_error **ret_error)
{
    char program[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (size < 0)
        size = 0;
    program[size] = 0;
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = 0;
    int length = snprintf(library, sizeof(library), "%s/python", program);
    char probe[PATH_MAX + 32];
    snprintf(probe, sizeof(probe), "%s/silver/__init__.py", library);
    if (length < (int)sizeof(library) && access(probe, R_OK) == 0)
        return 0;
    *ret_error = sl_error_hint(sl_error_new(SL_ENOENT, "cannot read %s, a part of Silver Lining", probe),
                               "install it again");
    return SL_ENOENT;
}

/* ---- The virtualenv ---------------------------------------------------------------------------------- */

/* The value of a key in pyvenv.cfg, in `text`; or an empty view. */
static sl_view config_value(sl_view text, const char *key)
{
    size_t key_size = strlen(key);
    for (const char *line = text.data, *end = text.data + text.size; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end, *equals = memchr(line, '=', (size_t)(stop - line));
        if (equals) {
            sl_view name = sl_view_trim((sl_view){line, (size_t)(equals - line)}, " \t");
            if (name.size == key_size && memcmp(name.data, key, key_size) == 0)
                return sl_view_trim((sl_view){equals + 1, (size_t)(stop - equals - 1)}, " \t\r");
        }
        line = stop + 1;
    }
    return (sl_view){"", 0};
}

/* A virtualenv is of one version of Python: of another its packages would not be found, or would crash. */
static int check_venv(const char *venv, sl_error **ret_error)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/pyvenv.cfg", venv);
    FILE *file = fopen(path, "re");
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    int code = file ? sl_buffer_read(&text, fileno(file), PYVENV_SIZE_MAX) : -errno;
    if (file)
        fclose(file);
    char packages[PATH_MAX + 64];
    snprintf(packages, sizeof(packages), "%s/lib/python%d.%d/site-packages", venv, PY_MAJOR_VERSION,
             PY_MINOR_VERSION);
    if (code < 0 && access(packages, F_OK) == 0) /* copied without it, and as good */
        return 0;
    if (code < 0) {
        *ret_error = sl_error_hint(sl_error_new(SL_ECONFIG, "%s is no virtualenv: cannot read %s: %s", venv,
                                                path, sl_code_message(code)),
                                   "make it with: python3 -m venv %s", venv);
        return SL_ECONFIG;
    }
    sl_view version = config_value((sl_view){text.data, text.size}, "version");
    if (!version.size)
        version = config_value((sl_view){text.data, text.size}, "version_info");
    int major = 0, minor = 0;
    char words[32];
    snprintf(words, sizeof(words), "%.*s", (int)version.size, version.data);
    if (sscanf(words, "%d.%d", &major, &minor) != 2 ||
        (major == PY_MAJOR_VERSION && minor == PY_MINOR_VERSION))
        return 0;
    *ret_error = sl_error_hint(
        sl_error_new(SL_ECONFIG, "the virtualenv %s is of Python %d.%d; this program runs Python %d.%d", venv,
                     major, minor, PY_MAJOR_VERSION, PY_MINOR_VERSION),
        "make it anew with: python%d.%d -m venv --clear %s", PY_MAJOR_VERSION, PY_MINOR_VERSION, venv);
    return SL_ECONFIG;
}

static bool is_venv(const char *path)
{
    char config[PATH_MAX + 16];
    snprintf(config, sizeof(config), "%s/pyvenv.cfg", path);
    return access(config, F_OK) == 0;
}

static int find_venv(const struct embed_options *options, sl_error **ret_error)
{
    venv_used[0] = 0;
    if (options->venv && options->venv[0]) {
        snprintf(venv_used, sizeof(venv_used), "%s%s%s", options->venv[0] == '/' ? "" : options->application,
                 options->venv[0] == '/' ? "" : "/", options->venv);
        return check_venv(venv_used, ret_error);
    }
    static const char *const names[] = {"venv", ".venv"};
    for (size_t i = 0; i < sl_array_size(names); i++) {
        char path[PATH_MAX];
        int size = snprintf(path, sizeof(path), "%s/%s", options->application, names[i]);
        if (size < (int)sizeof(path) && is_venv(path)) {
            memcpy(venv_used, path, (size_t)size + 1);
            return check_venv(path, ret_error);
        }
    }
    return 0;
}

/* ---- The interpreter --------------------------------------------------------------------------------- */

static int refuse(PyStatus status, sl_error **ret_error)
{
    *ret_error = sl_error_new(SL_EFAILED, "Python does not start: %s%s%s", status.func ? status.func : "",
                              status.func ? ": " : "", status.err_msg ? status.err_msg : "no reason given");
    return SL_EFAILED;
}

static PyStatus configure(PyConfig *config, const struct embed_options *options)
{
    PyConfig_InitIsolatedConfig(config);
    config->site_import = 1;
    config->user_site_directory = 0;
    config->faulthandler = 1; /* a crash says in which line of Python it was */
    config->parse_argv = 0;
    char executable[PATH_MAX + 16];
    if (venv_used[0])
        snprintf(executable, sizeof(executable), "%s/bin/python", venv_used);
    else
        snprintf(executable, sizeof(executable), "%s", SILVER_PYTHON_EXECUTABLE);
    PyStatus status = PyConfig_SetBytesString(config, &config->executable, executable);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(config, &config->program_name, executable);
    char *argv[] = {(char *)options->script};
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesArgv(config, 1, argv);
    return status;
}

static int start_interpreter(const struct embed_options *options, sl_error **ret_error)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1; /* files and names are UTF-8, whatever the locale of whoever starts this says */
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return refuse(status, ret_error);
    PyImport_AppendInittab("_silver", module_init);
    PyConfig config;
    status = configure(&config, options);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return PyStatus_Exception(status) ? refuse(status, ret_error) : 0;
}

/* Our own Python files, before all others until the application's are put in front of them. */
static int add_library(const char *application, sl_error **ret_error)
{
    PyObject *path = PySys_GetObject("path"), *ours = PyUnicode_DecodeFSDefault(library);
    int failed = !path || !ours || PyList_Insert(path, 0, ours) < 0;
    Py_XDECREF(ours);
    PyObject *done = failed ? NULL : embed_call("_start", "prepare", "ss", application, venv_used);
    if (done) {
        Py_DECREF(done);
        return 0;
    }
    PyErr_Print();
    *ret_error = sl_error_new(
        SL_EFAILED, "Python does not start: the package silver cannot be imported from %s", library);
    return SL_EFAILED;
}

int embed_start(const struct embed_options *options, sl_error **ret_error)
{
    int code = find_library(ret_error);
    if (code == 0)
        code = find_venv(options, ret_error);
    if (code == 0)
        code = start_interpreter(options, ret_error);
    if (code == 0)
        code = add_library(options->application, ret_error);
    return code;
}

void embed_stop(void)
{
    Py_FinalizeEx();
}

PyObject *embed_call(const char *module, const char *function, const char *format, ...)
{
    char name[128];
    snprintf(name, sizeof(name), "silver.%s", module);
    PyObject *there = PyImport_ImportModule(name), *callable = NULL, *arguments = NULL, *result = NULL;
    if (there)
        callable = PyObject_GetAttrString(there, function);
    if (callable) {
        char tuple[64];
        snprintf(tuple, sizeof(tuple), "(%s)", format);
        va_list list;
        va_start(list, format);
        arguments = Py_VaBuildValue(tuple, list);
        va_end(list);
    }
    if (arguments)
        result = PyObject_CallObject(callable, arguments);
    Py_XDECREF(arguments);
    Py_XDECREF(callable);
    Py_XDECREF(there);
    return result;
}
