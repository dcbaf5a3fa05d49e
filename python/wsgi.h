/* wsgi.h: what the files of the WSGI side share. PEP 3333 is the contract with the application.
 *
 *     wsgi.c      one request: calls the application and sends what it gives
 *     start.c     start_response: what it demands of status and headers; write()
 *     environ.c   the environment of a request
 *     input.c     wsgi.input
 *     filewrap.c  wsgi.file_wrapper */
#pragma once

#include "web.h"

/* The state of a response; the object is the request's start_response. */
struct exchange {
    PyObject_HEAD vectorcallfunc call;
    struct web_thread *thread; /* NULL: the request is over, and nothing can be sent any more */
    PyObject *status;          /* str, or NULL: start_response was not called yet */
    PyObject *headers;         /* a tuple of (str, str), checked */
    int code;
    int64_t length, sent; /* of the body: what Content-Length says, or -1; and what went */
    bool head_only;       /* to HEAD: there is no body, whatever the application gives */
    bool head_sent, complete, left;
    bool complained; /* about too long a body */
};

extern PyTypeObject exchange_type, input_type, filewrap_type;

/* start.c */
struct exchange *exchange_new(struct web_thread *thread, const struct web_request *request);
void exchange_end(struct exchange *exchange);
/* Whether the response has no body by its status (204, 304) or its request's method. */
bool exchange_bodyless(const struct exchange *exchange);

/* wsgi.c: a piece of the body; `whole`: there is no more. 0; -1 with an exception. Without bytes and not
 * whole it does nothing. */
int exchange_send(struct exchange *exchange, const char *data, size_t size, bool whole);
int exchange_send_file(struct exchange *exchange, int fd, int64_t offset, int64_t size);

/* environ.c */
int environ_open(struct web *web);
PyObject *environ_new(struct web_thread *thread, const struct web_request *request, PyObject *input);

/* input.c: takes over `fd` (-1: the body is the view, which lives until input_end). */
PyObject *input_new(struct web_thread *thread, sl_view body, int fd, int64_t size);
void input_end(PyObject *input);

/* filewrap.c: whether it wraps a plain file, from whose position on it may be sent as it is: 1, its
 * descriptor (which stays the file's) and what is left of it; 0; -1 with an exception. */
int filewrap_file(PyObject *wrapper, int *ret_fd, int64_t *ret_offset, int64_t *ret_size);
