/* state.h: what the web room keeps, for an application and for a request. */
#pragma once

#include "http/message.h"
#include "http/url.h"
#include "web/app.h"

#include "store/timeline.h"
#include "web/router.h"
#include "web/template.h"

typedef struct sl__tee sl__tee;
typedef struct sl__app_command sl__app_command;

struct sl_app {
    sl_root *root;
    char *directory;
    bool development;
    void *value; /* the application's own */
    sl_free_fn *free_value;
    sl_table *config;
    sl__router *router;
    sl__templates *templates;
    sl__tee *tees, *last_tee; /* that no request uses, the one unused for longest first */
    size_t tee_count;
    sl_error *broken;
    sl_error *no_stores; /* the first that the services name and that cannot be */
    sl__app_command *commands;
};

/* What hangs on req->web: made at the first need, in the request's arena. */
typedef struct sl__web {
    const sl__route *route;
    char **variables;                     /* as many as route->variable_count */
    sl__pairs *params, *fields, *cookies; /* NULL until asked for */
    sl_upload *uploads;
    size_t upload_count;
    json_t *json;
    sl__tee *tee; /* the log lines of the request; NULL in production */
} sl__web;

sl__web *sl__web_get(sl_request *req);

/* app.c: the application that this task works for, or NULL. */
sl_app *sl__app_current(void);

/* command.c */
void sl__app_commands_free(sl_app *app);

/* params.c */
#define SL__PAIRS_MAX 1000
/* Reads name=value&…; ends the task where it is malformed or too much. `what` names it: "the query". */
sl__pairs *sl__pairs_read(sl_request *req, sl_view text, const char *what);
const char *sl__pairs_value(const sl__pairs *pairs, const char *name, size_t i);

/* tee.c: a logger that keeps what it passes on. */
sl__tee *sl__tee_begin(sl_app *app, sl_request *req);
sl_logger *sl__tee_logger(sl__tee *tee);
/* What this request asked of the database; NULL where the tee is another's by now. */
sl__timeline *sl__tee_timeline(const sl__tee *tee, const sl_request *req);
/* The lines kept for this request, formatted; how many were too many is said at their end. */
void sl__tee_lines(const sl__tee *tee, const sl_request *req, sl_buffer *out);
void sl__tees_free(sl_app *app);

/* services_page.c: the services of the root and what their calls and children do, as HTML; nothing where
 * there are none. */
void sl__put_services(sl_buffer *out);

/* A text as HTML. */
static inline void sl__put_html(sl_buffer *out, const char *text)
{
    sl_buffer_put_html(out, text, strlen(text));
}

/* debug_page.c: the page of an error for development, and its Content-Security-Policy. */
const char *sl__debug_page_policy(const sl_app *app, const sl_error *error);
void sl__debug_page(sl_app *app, sl_request *req, const sl_error *error, int status, sl_buffer *out);

/* source.c: lines of source files for such pages. Writes an ordered list of the lines around `line` with it
 * marked; nothing and false when the file cannot be read. */
bool sl__source_excerpt(const char *directory, const char *file, int line, int around, sl_buffer *out);

/* traceback.c: the frames of the last Python traceback in the text, innermost first, each with its source;
 * false and nothing if there is none. */
bool sl__put_traceback(const sl_app *app, const char *detail, sl_buffer *out);
