/* complaint.c: what is wrong with an application directory. */
#include "run/complaint.h"

#include <stdlib.h>

static const char *const numbers[] = {
#define RUN__COMPLAINT(name, number, meaning) [RUN_##name] = number,
    RUN_COMPLAINTS(RUN__COMPLAINT)
#undef RUN__COMPLAINT
};

const char *complaint_number(enum run_complaint kind)
{
    return numbers[kind];
}

struct complaint *complaints_add(struct complaints *list, enum run_complaint kind, const char *file, int line,
                                 const char *format, ...)
{
    if (!list->items)
        list->items = sl_calloc(RUN_COMPLAINTS_MAX, sizeof(*list->items));
    if (list->count == RUN_COMPLAINTS_MAX) {
        /* The last place goes to whatever came last: a hundred complaints have been told by then. */
        struct complaint *last = &list->items[--list->count];
        free(last->file);
        free(last->message);
        free(last->hint);
        free(last->detail);
    }
    struct complaint *complaint = &list->items[list->count++];
    va_list arguments;
    va_start(arguments, format);
    sl_buffer message = {0};
    sl_buffer_vprintf(&message, format, arguments);
    va_end(arguments);
    *complaint = (struct complaint){
        .kind = kind,
        .file = file ? sl_strdup_heap(file) : NULL,
        .line = line,
        .message = message.data ? message.data : sl_strdup_heap(""),
    };
    return complaint;
}

void complaints_done(struct complaints *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].file);
        free(list->items[i].message);
        free(list->items[i].hint);
        free(list->items[i].detail);
    }
    free(list->items);
    *list = (struct complaints){0};
}

void complaints_print(const struct complaints *list, FILE *out)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct complaint *complaint = &list->items[i];
        if (complaint->file) {
            fputs(complaint->file, out);
            if (complaint->line > 0)
                fprintf(out, ":%d", complaint->line);
            if (complaint->line > 0 && complaint->column > 0)
                fprintf(out, ":%d", complaint->column);
            fputs(": ", out);
        }
        fprintf(out, "%s: %s\n", numbers[complaint->kind], complaint->message);
        if (complaint->hint)
            fprintf(out, "    %s\n", complaint->hint);
        if (complaint->detail)
            fprintf(out, "%s\n", complaint->detail);
    }
}
