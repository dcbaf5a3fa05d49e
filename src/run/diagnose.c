/* diagnose.c: finds the errors in what a compiler and a linker print.
 *
 * Both gcc and clang write "FILE:LINE:COLUMN: error: MESSAGE", and below it the source line and a marker; the
 * linker writes "FILE:LINE: undefined reference to `NAME'". Everything up to the next such head belongs to an
 * error, notes too. */
#include "run/runner.h"

#include <stdlib.h>

struct head {
    sl_view file, message;
    uint64_t line, column;
    bool error;
};

/* Takes ":NUMBER" off the front. */
static bool take_number(sl_view *rest, uint64_t *ret_number)
{
    if (!rest->size || rest->data[0] != ':')
        return false;
    size_t size = 1;
    while (size < rest->size && rest->data[size] >= '0' && rest->data[size] <= '9')
        size++;
    if (sl_view_number((sl_view){rest->data + 1, size - 1}, INT32_MAX, ret_number) < 0)
        return false;
    *rest = (sl_view){rest->data + size, rest->size - size};
    return true;
}

static bool take(sl_view *rest, const char *prefix)
{
    size_t size = strlen(prefix);
    if (rest->size < size || memcmp(rest->data, prefix, size) != 0)
        return false;
    *rest = (sl_view){rest->data + size, rest->size - size};
    return true;
}

/* Whether a line begins a diagnostic: a file name, a line and perhaps a column, and what it is. */
static bool read_head(sl_view line, struct head *ret_head)
{
    for (size_t i = 1; i < line.size; i++) {
        if (line.data[i] != ':')
            continue;
        struct head head = {.file = {line.data, i}};
        sl_view rest = {line.data + i, line.size - i};
        if (!take_number(&rest, &head.line))
            continue;
        take_number(&rest, &head.column);
        if (!take(&rest, ": "))
            continue;
        sl_view kind = rest;
        head.error = take(&kind, "error: ") || take(&kind, "fatal error: ");
        if (!head.error && take(&kind, "undefined reference to ")) {
            head.error = true;
            kind = rest;
        }
        if (!head.error && !take(&kind, "warning: "))
            continue;
        head.message = kind;
        *ret_head = head;
        return true;
    }
    return false;
}

static sl_view next_line(const char **rest)
{
    size_t size = strcspn(*rest, "\n");
    sl_view line = {*rest, size};
    *rest += size + ((*rest)[size] == '\n');
    return line;
}

static struct complaint *add(struct complaints *complaints, const struct head *head, const char *directory)
{
    sl_view file = head->file;
    size_t size = strlen(directory);
    if (file.size > size + 1 && memcmp(file.data, directory, size) == 0 && file.data[size] == '/')
        file = (sl_view){file.data + size + 1, file.size - size - 1};
    char *name = sl_printf_heap("%.*s", (int)file.size, file.data);
    struct complaint *complaint = complaints_add(complaints, RUN_BUILD_FAILED, name, (int)head->line, "%.*s",
                                                 (int)head->message.size, head->message.data);
    complaint->column = (int)head->column;
    free(name);
    return complaint;
}

void diagnose(const char *output, const char *directory, struct complaints *complaints)
{
    struct complaint *current = NULL;
    const char *body = output;
    for (const char *rest = output; *rest;) {
        const char *start = rest;
        sl_view line = next_line(&rest);
        struct head head;
        bool begins = read_head(line, &head);
        if (!begins && *rest)
            continue;
        const char *stop = begins ? start : rest;
        if (current && stop > body)
            current->detail = sl_printf_heap("%.*s", (int)(stop - body - (stop[-1] == '\n')), body);
        current = begins && head.error ? add(complaints, &head, directory) : NULL;
        body = rest;
    }
}

size_t count_warnings(const char *output)
{
    size_t count = 0;
    for (const char *rest = output; *rest;) {
        struct head head;
        count += read_head(next_line(&rest), &head) && !head.error;
    }
    return count;
}
