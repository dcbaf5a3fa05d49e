/* fetch.c: fetches a URL and prints what came: `fetch http://127.0.0.1:8080/`. */
#include <silver/silver.h>

#include <stdio.h>

static void *program(void *url)
{
    sl_fetched *page = sl_await(sl_fetch(url, .timeout_ms = 5000, .max_size = 1 << 20, .max_redirects = 5));
    const char *type = sl_fetched_header(page, "Content-Type");
    printf("%d %s, %zu bytes\n", page->status, type ? type : "of no type", page->body->size);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fetch URL\n");
        return 2;
    }
    return sl_run("fetch", program, argv[1], NULL) < 0;
}
