/* environ.c: the environment of a request: a copy of one dictionary with what all have in common, and what
 * this one has.
 *
 * Keys are made once. So are values that come again and again: each known header keeps the last string that
 * it had, as clients mostly send the same, except where it is a secret. */
#include "wsgi.h"

#include <ctype.h>
#include <stdlib.h>

#define NAMES 512     /* a power of two */
#define NAMES_MAX 256 /* more than that are made for each request: peers choose names */
#define NAME_MAX_SIZE 62
#define MEMO_MAX 512 /* bytes of a value that is kept */

/* A string that is likely to come again. */
struct memo {
    PyObject *last;
};

enum kind {
    ORDINARY,
    SECRET,  /* its values are not kept */
    COOKIE,  /* joined by "; ", and secret */
    LENGTH,  /* CONTENT_LENGTH, which is the body's */
    IGNORED, /* never an HTTP_… variable */
};

struct name {
    PyObject *key; /* "HTTP_ACCEPT"; NULL: free */
    struct memo memo;
    enum kind kind;
    uint8_t size;
    char text[NAME_MAX_SIZE];
};

static struct name names[NAMES];
static unsigned names_count;

/* The keys that each request sets. X(identifier, key) */
#define KEYS(X)                                                                                              \
    X(method, "REQUEST_METHOD")                                                                              \
    X(path, "PATH_INFO")                                                                                     \
    X(query, "QUERY_STRING")                                                                                 \
    X(target, "REQUEST_URI")                                                                                 \
    X(protocol, "SERVER_PROTOCOL")                                                                           \
    X(server_name, "SERVER_NAME")                                                                            \
    X(server_port, "SERVER_PORT")                                                                            \
    X(peer, "REMOTE_ADDR")                                                                                   \
    X(scheme, "wsgi.url_scheme")                                                                             \
    X(id, "silver.request_id")                                                                               \
    X(input, "wsgi.input")                                                                                   \
    X(length, "CONTENT_LENGTH")                                                                              \
    X(type, "CONTENT_TYPE")                                                                                  \
    X(https, "HTTPS")
#define KEY(identifier, text) static PyObject *key_##identifier;
KEYS(KEY)
#undef KEY

static struct memo memo_method, memo_peer, memo_scheme, memo_server_name, memo_server_port;
static PyObject *protocols[2], *on;

static PyObject *latin1(const char *data, size_t size)
{
    return PyUnicode_DecodeLatin1(data, (Py_ssize_t)size, NULL);
}

/* A new reference. */
static PyObject *remember(struct memo *memo, const char *data, size_t size)
{
    PyObject *last = memo->last;
    if (last && (size_t)PyUnicode_GET_LENGTH(last) == size &&
        memcmp(PyUnicode_1BYTE_DATA(last), data, size) == 0)
        return Py_NewRef(last);
    PyObject *made = latin1(data, size);
    if (made && size <= MEMO_MAX)
        Py_XSETREF(memo->last, Py_NewRef(made));
    return made;
}

/* ---- The names of headers ---------------------------------------------------------------------------- */

static uint32_t hash_of(const char *text, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

static PyObject *key_of(const char *text, size_t size)
{
    char key[5 + 256];
    if (size > 256)
        size = 256;
    memcpy(key, "HTTP_", 5);
    for (size_t i = 0; i < size; i++)
        key[5 + i] = text[i] == '-' ? '_' : (char)toupper((unsigned char)text[i]);
    PyObject *made = latin1(key, 5 + size);
    if (made)
        PyUnicode_InternInPlace(&made);
    return made;
}

/* Names with an underline could pass for others ("x_user" for "x-user"); Proxy for an environment variable.
 */
static enum kind kind_of(const char *text, size_t size)
{
    static const struct {
        const char *name;
        enum kind kind;
    } special[] = {
        {"cookie", COOKIE},         {"authorization", SECRET},      {"proxy-authorization", SECRET},
        {"content-length", LENGTH}, {"transfer-encoding", IGNORED}, {"proxy", IGNORED}};
    for (size_t i = 0; i < sl_array_size(special); i++)
        if (strlen(special[i].name) == size && memcmp(special[i].name, text, size) == 0)
            return special[i].kind;
    return memchr(text, '_', size) || size > 256 ? IGNORED : ORDINARY;
}

/* What is known of a name; one that is not kept is filled into *scratch, whose key is then the caller's. */
static struct name *name_of(const char *text, size_t size, struct name *scratch)
{
    uint32_t at = hash_of(text, size) & (NAMES - 1);
    for (; names[at].key; at = (at + 1) & (NAMES - 1))
        if (names[at].size == size && memcmp(names[at].text, text, size) == 0)
            return &names[at];
    bool keep = size <= NAME_MAX_SIZE && names_count < NAMES_MAX;
    struct name *name = keep ? &names[at] : scratch;
    *name = (struct name){.kind = kind_of(text, size), .size = (uint8_t)size};
    bool is_type = size == 12 && memcmp(text, "content-type", 12) == 0;
    name->key = is_type ? Py_NewRef(key_type) : key_of(text, size);
    if (!name->key)
        return NULL;
    if (keep) {
        memcpy(name->text, text, size);
        names_count++;
    }
    return name;
}

/* ---- Headers ----------------------------------------------------------------------------------------- */

static int join(PyObject *variables, PyObject *key, PyObject *first, PyObject *second, const char *between)
{
    PyObject *both = PyUnicode_FromFormat("%U%s%U", first, between, second);
    int failed = both ? PyDict_SetItem(variables, key, both) : -1;
    Py_XDECREF(both);
    return failed;
}

static int put_header(PyObject *variables, struct name *name, sl_view value)
{
    if (name->kind == IGNORED || name->kind == LENGTH)
        return 0;
    PyObject *text = name->kind == ORDINARY ? remember(&name->memo, value.data, value.size)
                                            : latin1(value.data, value.size);
    if (!text)
        return -1;
    Py_ssize_t before = PyDict_GET_SIZE(variables);
    PyObject *there = PyDict_SetDefault(variables, name->key, text);
    int failed = there ? 0 : -1;
    if (there && PyDict_GET_SIZE(variables) == before)
        failed = join(variables, name->key, there, text, name->kind == COOKIE ? "; " : ",");
    Py_DECREF(text);
    return failed;
}

static int put_headers(PyObject *variables, const struct web_request *request)
{
    for (size_t i = 0; i < request->headers.count; i++) {
        const struct web_header *header = &request->headers.items[i];
        struct name scratch, *name = name_of(header->name, strlen(header->name), &scratch);
        if (!name)
            return -1;
        int failed = put_header(variables, name, header->value);
        if (name == &scratch) {
            Py_DECREF(scratch.key);
            Py_CLEAR(scratch.memo.last);
        }
        if (failed)
            return -1;
    }
    return 0;
}

/* ---- The whole --------------------------------------------------------------------------------------- */

static int set(PyObject *variables, PyObject *key, PyObject *value)
{
    int failed = value ? PyDict_SetItem(variables, key, value) : -1;
    Py_XDECREF(value);
    return failed;
}

static int set_memo(PyObject *variables, PyObject *key, struct memo *memo, const char *text)
{
    return set(variables, key, remember(memo, text ? text : "", text ? strlen(text) : 0));
}

static int set_text(PyObject *variables, PyObject *key, const char *text)
{
    return set(variables, key, latin1(text ? text : "", text ? strlen(text) : 0));
}

static int put_length(PyObject *variables, const struct web_request *request)
{
    bool told = request->body_size > 0;
    for (size_t i = 0; !told && i < request->headers.count; i++)
        told = strcmp(request->headers.items[i].name, "content-length") == 0;
    return told ? set(variables, key_length, PyUnicode_FromFormat("%lld", (long long)request->body_size)) : 0;
}

static int fill(PyObject *variables, const struct web_request *r, PyObject *input)
{
    return set_memo(variables, key_method, &memo_method, r->method) ||
           set(variables, key_path, latin1(r->path.data ? r->path.data : "", r->path.size)) ||
           set_text(variables, key_query, r->query) || set_text(variables, key_target, r->target) ||
           PyDict_SetItem(variables, key_protocol, protocols[r->minor != 0]) ||
           set_memo(variables, key_server_name, &memo_server_name, r->server_name) ||
           set_memo(variables, key_server_port, &memo_server_port, r->server_port) ||
           set_memo(variables, key_peer, &memo_peer, r->peer) ||
           set_memo(variables, key_scheme, &memo_scheme, r->scheme) || set_text(variables, key_id, r->id) ||
           PyDict_SetItem(variables, key_input, input) || put_length(variables, r) ||
           (r->scheme && strcmp(r->scheme, "https") == 0 && PyDict_SetItem(variables, key_https, on)) ||
           put_headers(variables, r);
}

PyObject *environ_new(struct web_thread *thread, const struct web_request *request, PyObject *input)
{
    PyObject *variables = PyDict_Copy(thread->web->variables);
    if (variables && fill(variables, request, input))
        Py_CLEAR(variables);
    return variables;
}

static int make_keys(void)
{
#define KEY(identifier, text)                                                                                \
    if (!(key_##identifier = PyUnicode_InternFromString(text)))                                              \
        return -1;
    KEYS(KEY)
#undef KEY
    protocols[0] = PyUnicode_InternFromString("HTTP/1.0");
    protocols[1] = PyUnicode_InternFromString("HTTP/1.1");
    on = PyUnicode_InternFromString("on");
    return protocols[0] && protocols[1] && on ? 0 : -1;
}

int environ_open(struct web *web)
{
    if (make_keys() < 0)
        return -1;
    PyObject *errors = PySys_GetObject("stderr");
    web->variables = Py_BuildValue(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:O,s:(ii),s:O,s:O,s:O,s:O,s:O,s:O}",
        "REQUEST_METHOD", "", "SCRIPT_NAME", "", "PATH_INFO", "", "QUERY_STRING", "", "REQUEST_URI", "",
        "SERVER_PROTOCOL", "", "SERVER_NAME", "", "SERVER_PORT", "", "REMOTE_ADDR", "", "SERVER_SOFTWARE",
        "silver/" SL_RELEASE, "wsgi.url_scheme", "", "silver.request_id", "", "wsgi.input", Py_None,
        "wsgi.version", 1, 0, "wsgi.errors", errors ? errors : Py_None, "wsgi.multithread",
        web->threads > 1 ? Py_True : Py_False, "wsgi.multiprocess", Py_True, "wsgi.run_once", Py_False,
        "wsgi.file_wrapper", (PyObject *)&filewrap_type, "wsgi.input_terminated", Py_True);
    return web->variables ? 0 : -1;
}
