/* letters.c: work that goes on after the answer. */
#include <silver/silver.h>

#include <stdlib.h>

typedef struct letter {
    sl_app *app;
    char *text;
} letter;

static void free_letter(void *data)
{
    letter *l = data;
    free(l->text);
    free(l);
}

static void *deliver(void *data)
{
    letter *l = data;
    sl_defer(free_letter, l);
    sl_await(sl_sleep(100)); /* as slow as a mail server */
    const char *path = sl_printf("%s/letter", sl_config(l->app, "FILES"));
    sl_await(sl_file_write(path, l->text, strlen(l->text)));
    return NULL;
}

static sl_response *post(sl_request *req)
{
    const char *text = sl_field(req, "text");
    if (!text)
        sl_fail(SL_HTTP(400), "write something: text=…");
    letter *l = sl_malloc(sizeof(*l)); /* and not in the request's arena, which goes with the answer */
    *l = (letter){sl_request_app(req), sl_strdup_heap(text)};
    sl_background(deliver, l);
    return sl_text(req, 202, "it is on its way\n");
}

SL_APPLICATION(app)
{
    sl_route(app, "post", "POST /letters", post);
}
