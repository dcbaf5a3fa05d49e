/* error.c: errors, and the one table of their codes. */
#include <silver/base.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sl_code_name(int code)
{
    switch (code) {
#define CASE(name, number, message)                                                                          \
    case name:                                                                                               \
        return #name;
        SL_ERROR_CODES(CASE)
#undef CASE
    }
    if (code <= SL_HTTP(100) && code >= SL_HTTP(599))
        return "SL_HTTP";
    const char *name = code < 0 && code > -4096 ? strerrorname_np(-code) : NULL;
    return name ? name : "unknown error";
}

const char *sl_code_message(int code)
{
    switch (code) {
#define CASE(name, number, message)                                                                          \
    case name:                                                                                               \
        return message;
        SL_ERROR_CODES(CASE)
#undef CASE
    }
    if (code <= SL_HTTP(100) && code >= SL_HTTP(599))
        return "the request was refused";
    const char *message = code < 0 && code > -4096 ? strerrordesc_np(-code) : NULL;
    return message ? message : "unknown error";
}

int sl_code_status(int code)
{
    if (code <= SL_HTTP(100) && code >= SL_HTTP(599))
        return -10000 - code;
    switch (code) {
    case SL_ECONFLICT:
    case SL_EEXIST:
        return 409;
    case SL_EINVALID:
        return 422;
    case SL_EDISCONNECTED:
        return 503;
    default:
        return 500;
    }
}

sl_error *sl__error_newv(const sl_site *site, int code, const char *format, va_list arguments)
{
    char text[512];
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(text, sizeof text, format, arguments);
    if (size < 0) /* a wide character that cannot be said: what came before it is not kept either */
        text[size = 0] = '\0';

    /* One allocation serves the error and its message. */
    sl_error *error = sl_malloc(sizeof *error + (size_t)size + 1);
    *error = (sl_error){.references = 1, .code = code, .origin = site, .message = (char *)(error + 1)};
    if ((size_t)size < sizeof text)
        memcpy(error->message, text, (size_t)size + 1);
    else
        vsnprintf(error->message, (size_t)size + 1, format, again);
    va_end(again);
    while (size > 0 && error->message[size - 1] == '\n')
        error->message[--size] = '\0';
    return error;
}

sl_error *sl__error_new(const sl_site *site, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sl_error *error = sl__error_newv(site, code, format, arguments);
    va_end(arguments);
    return error;
}

sl_error *sl_error_ref(sl_error *error)
{
    error->references++;
    return error;
}

sl_error *sl_error_unref(sl_error *error)
{
    while (error && --error->references == 0) {
        sl_error *cause = error->cause;
        free(error->detail);
        free(error->hint);
        free(error);
        error = cause; /* a long chain of causes must not recurse */
    }
    return NULL;
}

sl_error *sl_error_hint(sl_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sl_buffer text = {0};
    sl_buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    free(error->hint);
    error->hint = text.data;
    return error;
}

sl_error *sl_error_detail(sl_error *error, const char *text, size_t size)
{
    char *copy = sl_malloc(size + 1);
    if (size)
        memcpy(copy, text, size);
    copy[size] = '\0';
    free(error->detail);
    error->detail = copy;
    return error;
}

sl_error *sl_error_cause(sl_error *error, sl_error *cause)
{
    sl_error_unref(error->cause);
    error->cause = cause;
    return error;
}

void sl_error_hop(sl_error *error, const sl_site *site)
{
    error->hops[error->hop_count++ % SL_ERROR_HOPS] = site;
}

static void put_indented(sl_buffer *out, const char *text)
{
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        sl_buffer_puts(out, "\n  ");
        sl_buffer_put(out, line, size);
        line += size + (line[size] == '\n');
    }
}

static void put_hops(sl_buffer *out, const sl_error *error)
{
    unsigned first = error->hop_count > SL_ERROR_HOPS ? error->hop_count - SL_ERROR_HOPS : 0;
    if (first)
        sl_buffer_printf(out, "\n  … %u earlier hops", first);
    for (unsigned i = first; i < error->hop_count; i++) {
        const sl_site *hop = error->hops[i % SL_ERROR_HOPS];
        sl_buffer_printf(out, "\n  through %s (%s:%d)", hop->function, hop->file, hop->line);
    }
}

char *sl_error_text(const sl_error *error)
{
    sl_buffer out = {0};
    for (const sl_error *e = error; e; e = e->cause) {
        sl_buffer_puts(&out, e == error ? "" : "\ncaused by: ");
        sl_buffer_puts(&out, e->message);
        if (e->detail)
            put_indented(&out, e->detail);
        if (e->hint)
            sl_buffer_printf(&out, "\n  hint: %s", e->hint);
        if (e->origin)
            sl_buffer_printf(&out, "\n  from %s (%s:%d), %s", e->origin->function, e->origin->file,
                             e->origin->line, sl_code_name(e->code));
        put_hops(&out, e);
    }
    return out.data;
}
