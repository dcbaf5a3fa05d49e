/* asgi_scope.c: the scope of a request: a dictionary made from what the instance sent.
 *
 * What is the same for all requests is in a template that is copied. Names of headers are looked up in a
 * small table, since clients send the same ones again and again; it does not grow beyond NAMES_MAX. */
#include "asgi_internal.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 256
#define NAMES_ROOM 1024 /* a power of two */
#define NAME_SIZE_MAX 64

static struct {
    PyObject *names[NAMES_ROOM]; /* bytes */
    size_t name_count;
    PyObject *http, *websocket;                   /* the templates */
    PyObject *server, *server_name, *server_port; /* the last one */
} scopes;

static bool set(PyObject *dict, PyObject *key, PyObject *value)
{
    if (!value)
        return false;
    int code = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return code == 0;
}

static PyObject *template_new(bool websocket)
{
    PyObject *dict = PyDict_New();
    const struct asgi_names *n = &asgi_names;
    if (!dict || PyDict_SetItem(dict, n->type, websocket ? n->websocket : n->http) < 0 ||
        !set(dict, n->asgi, Py_BuildValue("{s:s,s:s}", "version", "3.0", "spec_version", "2.4")) ||
        PyDict_SetItem(dict, n->http_version, n->http_1_1) < 0 ||
        PyDict_SetItem(dict, n->scheme, websocket ? n->ws : n->http) < 0 ||
        PyDict_SetItem(dict, n->root_path, n->empty) < 0 ||
        !set(dict, n->extensions,
             websocket ? Py_BuildValue("{s:{}}", "websocket.http.response")
                       : Py_BuildValue("{s:{}}", "http.response.pathsend")))
        Py_CLEAR(dict);
    return dict;
}

bool asgi_scope_open(void)
{
    scopes.http = template_new(false);
    scopes.websocket = template_new(true);
    return scopes.http && scopes.websocket;
}

static size_t hash_of(const char *name, size_t size)
{
    size_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    return hash;
}

/* A new reference. */
static PyObject *header_name(const char *name)
{
    size_t size = strlen(name);
    if (size > NAME_SIZE_MAX)
        return PyBytes_FromStringAndSize(name, (Py_ssize_t)size);
    size_t at = hash_of(name, size) & (NAMES_ROOM - 1);
    for (PyObject *there; (there = scopes.names[at]); at = (at + 1) & (NAMES_ROOM - 1))
        if ((size_t)PyBytes_GET_SIZE(there) == size && memcmp(PyBytes_AS_STRING(there), name, size) == 0)
            return Py_NewRef(there);
    PyObject *bytes = PyBytes_FromStringAndSize(name, (Py_ssize_t)size);
    if (bytes && scopes.name_count < NAMES_MAX) {
        scopes.name_count++;
        scopes.names[at] = Py_NewRef(bytes);
    }
    return bytes;
}

static PyObject *header_list(const struct web_request *web)
{
    PyObject *list = PyList_New((Py_ssize_t)web->headers.count);
    for (size_t i = 0; list && i < web->headers.count; i++) {
        const struct web_header *header = &web->headers.items[i];
        PyObject *pair = PyTuple_New(2);
        PyObject *name = header_name(header->name ? header->name : "");
        PyObject *value = PyBytes_FromStringAndSize(header->value.data, (Py_ssize_t)header->value.size);
        if (!pair || !name || !value) {
            Py_XDECREF(pair);
            Py_XDECREF(name);
            Py_XDECREF(value);
            Py_CLEAR(list);
            break;
        }
        PyTuple_SET_ITEM(pair, 0, name);
        PyTuple_SET_ITEM(pair, 1, value);
        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    return list;
}

/* The client as (host, port), where the port is not known; a Unix socket's has neither. */
static PyObject *address(const char *peer)
{
    if (!peer || strcmp(peer, "unix") == 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(si)", peer, 0);
}

static bool same(PyObject *known, const char *text)
{
    return known && strcmp(PyBytes_AS_STRING(known), text) == 0;
}

/* (name, port); requests of one worker mostly have the same. */
static PyObject *server(const struct web_request *web)
{
    if (!web->server_name)
        Py_RETURN_NONE;
    const char *text = web->server_port ? web->server_port : "";
    if (same(scopes.server_name, web->server_name) && same(scopes.server_port, text))
        return Py_NewRef(scopes.server);
    uint64_t port;
    PyObject *pair = sl_view_number(sl_view_of(text), 65535, &port) == 0
                         ? Py_BuildValue("(sK)", web->server_name, (unsigned long long)port)
                         : Py_BuildValue("(sO)", web->server_name, Py_None);
    PyObject *name_bytes = PyBytes_FromString(web->server_name), *port_bytes = PyBytes_FromString(text);
    if (!pair || !name_bytes || !port_bytes) {
        Py_XDECREF(pair);
        Py_XDECREF(name_bytes);
        Py_XDECREF(port_bytes);
        return NULL;
    }
    Py_XSETREF(scopes.server, Py_NewRef(pair));
    Py_XSETREF(scopes.server_name, name_bytes);
    Py_XSETREF(scopes.server_port, port_bytes);
    return pair;
}

static PyObject *method(const char *text)
{
    return text ? PyUnicode_InternFromString(text) : Py_NewRef(asgi_names.empty);
}

/* Without the question mark, and without what the target has before its path. */
static PyObject *raw_path(const char *target)
{
    const char *path = target ? target : "";
    if (*path != '/') {
        const char *authority = strstr(path, "://");
        const char *slash = authority ? strchr(authority + 3, '/') : NULL;
        path = slash ? slash : path;
    }
    return PyBytes_FromStringAndSize(path, (Py_ssize_t)strcspn(path, "?"));
}

/* What the client offers, as a list of words. */
static PyObject *subprotocols(const char *text)
{
    PyObject *list = PyList_New(0);
    for (const char *at = text ? text : ""; list && *at;) {
        size_t size = strcspn(at, ",");
        sl_view word = sl_view_trim((sl_view){at, size}, " \t");
        at += size + (at[size] == ',');
        if (!word.size)
            continue;
        PyObject *item = PyUnicode_DecodeLatin1(word.data, (Py_ssize_t)word.size, NULL);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static bool fill(PyObject *scope, const struct web_request *web)
{
    const struct asgi_names *n = &asgi_names;
    const char *query = web->query ? web->query : "";
    bool secure = web->scheme && strcmp(web->scheme, "https") == 0;
    if (web->minor == 0 && PyDict_SetItem(scope, n->http_version, n->http_1_0) < 0)
        return false;
    if (secure && PyDict_SetItem(scope, n->scheme, web->websocket ? n->wss : n->https) < 0)
        return false;
    if (web->websocket ? !set(scope, n->subprotocols, subprotocols(web->protocols))
                       : !set(scope, n->method, method(web->method)))
        return false;
    return set(scope, n->path, PyUnicode_DecodeUTF8(web->path.data, (Py_ssize_t)web->path.size, "replace")) &&
           set(scope, n->raw_path, raw_path(web->target)) &&
           set(scope, n->query_string, PyBytes_FromString(query)) &&
           set(scope, n->headers, header_list(web)) && set(scope, n->client, address(web->peer)) &&
           set(scope, n->server, server(web)) && set(scope, n->state, PyDict_Copy(asgi.state));
}

PyObject *asgi_scope(const struct web_request *web)
{
    PyObject *scope = PyDict_Copy(web->websocket ? scopes.websocket : scopes.http);
    if (scope && !fill(scope, web))
        Py_CLEAR(scope);
    return scope;
}
