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
        return 409;
    case SL_EINVALID:
        return 422;
    case SL_EDISCONNECTED:
        return 503;
    case SL_ENOSPC:
        return 507;
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
        free(error->told);
        free(error);
        error = cause; /* a long chain of causes must not recurse */
    }
    return NULL;
}

static void put_words(char **words, const char *format, va_list arguments)
{
    sl_buffer text = {0};
    sl_buffer_vprintf(&text, format, arguments);
    free(*words);
    *words = text.data;
}

sl_error *sl_error_hint(sl_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_words(&error->hint, format, arguments);
    va_end(arguments);
    return error;
}

sl_error *sl_error_tell(sl_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_words(&error->told, format, arguments);
    va_end(arguments);
    return error;
}

const char *sl__error_words(const sl_error *error)
{
    for (const sl_error *e = error; e && e->code == error->code; e = e->cause)
        if (e->told)
            return e->told;
    return NULL;
}

const char *sl_error_told(const sl_error *error)
{
    const char *words = sl__error_words(error);
    int status = sl_code_status(error->code);
    if (words || status < 400 || status > 499)
        return words;
    return error->code == SL_HTTP(status) ? error->message : sl_code_message(error->code);
}

int sl_error_status(const sl_error *error)
{
    bool conflicts = error->code == SL_EEXIST || error->code == SL_ECONSTRAINT;
    return conflicts && sl__error_words(error) ? 409 : sl_code_status(error->code);
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
    const sl_site *last = NULL;
    for (unsigned i = first; i < error->hop_count; i++) {
        const sl_site *hop = error->hops[i % SL_ERROR_HOPS];
        if (hop == last) /* two deferreds, one after the other, of one place */
            continue;
        last = hop;
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
