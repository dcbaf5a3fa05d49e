/* fixture.h: drives an application's handlers without sockets: requests are made by hand and given to
 * sl__app_handle in a task of their own, as the server does; a failure goes to sl__app_failure. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "http/message.h"
#include "web/app.h"

/* Runs the test in a task, with an application on a directory of its own that is removed afterwards. */
typedef struct site {
    sl_app *app;
    char directory[64];
    sl_buffer log; /* all that was logged */
} site;
typedef void site_test(site *s);
void with_site(bool development, sl_application_fn *setup, site_test *test);

/* Writes a file below the directory; its folders are made. */
void write_file(site *s, const char *path, const char *text);

typedef struct ask {
    const char *headers; /* lines: "Name: value\n" */
    const char *body;
    size_t body_size; /* 0: the body is a string */
    bool https;
} ask;

typedef struct answer {
    int status;
    char *body;
    size_t size;
    char *type;
    char *fields;       /* lines: "Name: value\n" */
    size_t max_message; /* of a WebSocket; 0 where it is none */
} answer;

/* request(s, "POST /rooms/a?x=1", .body = "…"): the answer lives until the test ends. */
#define request(s, line, ...) request_with((s), (line), &(ask){__VA_ARGS__})
const answer *request_with(site *s, const char *line, const ask *how);

/* The value of the n-th field of this name, or NULL. */
const char *field_of(const answer *a, const char *name, unsigned n);

#define assert_contains(text, part)                                                                          \
    do {                                                                                                     \
        const char *assert_text = (text);                                                                    \
        if (!assert_text || !strstr(assert_text, (part))) {                                                  \
            fprintf(stderr, "expected \"%s\" in:\n%s\n", (part), assert_text ? assert_text : "(null)");      \
            fail();                                                                                          \
        }                                                                                                    \
    } while (0)
#define assert_lacks(text, part)                                                                             \
    do {                                                                                                     \
        const char *assert_text = (text);                                                                    \
        if (strstr(assert_text, (part))) {                                                                   \
            fprintf(stderr, "did not expect \"%s\" in:\n%s\n", (part), assert_text);                         \
            fail();                                                                                          \
        }                                                                                                    \
    } while (0)
