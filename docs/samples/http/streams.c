/* streams.c: bodies that are never held whole, in either direction. */
#include <silver/silver.h>

#include <stdio.h>

/* PUT /lines: counts the lines of a body of any size, a piece at a time. */
static sl_response *count_lines(sl_request *req)
{
    size_t lines = 0, size;
    for (const char *piece; (piece = sl_body_read(req, &size));)
        for (size_t i = 0; i < size; i++)
            lines += piece[i] == '\n';
    return sl_text(req, 200, "%zu lines\n", lines);
}

/* GET /squares: a response that is made while it is sent. */
static void write_squares(sl_stream *out, void *data)
{
    sl_write_printf(out, "n,square\n");
    for (int n = 1; n <= 100000; n++)
        sl_write_printf(out, "%d,%lld\n", n, (long long)n * n); /* waits while the client is slow */
}

static sl_response *squares(sl_request *req)
{
    sl_response *res = sl_stream_response(req, 200, "text/csv; charset=utf-8", write_squares, NULL);
    return sl_set_header(res, "Content-Disposition", "attachment; filename=\"squares.csv\"");
}

/* GET /report: a file, with ranges and conditional requests. */
static sl_response *report(sl_request *req)
{
    return sl_file_response(req, "data/report.pdf", /* type= */ NULL);
}

SL_APPLICATION(app)
{
    sl_route(app, "lines", "PUT /lines", count_lines);
    sl_route(app, "squares", "GET /squares", squares);
    sl_route(app, "report", "GET /report", report);
}
