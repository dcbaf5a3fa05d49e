/* diagnose.c: finds the errors in what a compiler and a linker print.
 *
 * Both gcc and clang write "FILE:LINE:COLUMN: error: MESSAGE", and below it the source line and a marker; the
 * linker writes "FILE:LINE: undefined reference to `NAME'". Everything up to the next such head belongs to an
 * error, notes too.
 *
 * What is wrong with a macro's argument gcc places where the macro is defined, and then notes each macro on
 * the way, up to a hundred lines, the same for each time that the argument is mentioned. So the place is
 * taken from the first note that is in the application, other macros' notes are left out, and an error is
 * told once. What only follows from it, that a macro's variable is unknown then, is left out, too. */
#include "run/runner.h"

#include <stdlib.h>

struct head {
    sl_view file, message;
    uint64_t line, column;
    bool error, note;
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
        head.note = !head.error && take(&kind, "note: ");
        if (!head.error && !head.note && !take(&kind, "warning: "))
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

/* The file as the application calls it: without its directory. */
static sl_view relative(sl_view file, const char *directory)
{
    size_t size = strlen(directory);
    if (file.size > size + 1 && memcmp(file.data, directory, size) == 0 && file.data[size] == '/')
        return (sl_view){file.data + size + 1, file.size - size - 1};
    return file;
}

static struct complaint *add(struct complaints *complaints, const struct head *head)
{
    char *name = sl_printf_heap("%.*s", (int)head->file.size, head->file.data);
    struct complaint *complaint = complaints_add(complaints, RUN_BUILD_FAILED, name, (int)head->line, "%.*s",
                                                 (int)head->message.size, head->message.data);
    complaint->column = (int)head->column;
    free(name);
    return complaint;
}

static bool is_ours(sl_view file)
{
    return file.size && file.data[0] != '/';
}

/* The note of a macro, and the lines below that show it. */
static bool is_of_macro(const struct head *head)
{
    sl_view rest = head->message;
    return head->note && (take(&rest, "in expansion of macro ") || take(&rest, "in definition of macro "));
}

/* One error with all that belongs to it. */
struct one {
    struct head head;
    sl_buffer detail;
    bool moved; /* the note that gives its place was found */
    bool skips; /* the lines that come show what is left out */
};

/* A line below an error's head. */
static void read_line(struct one *one, sl_view line, const char *directory)
{
    struct head head;
    if (read_head(line, &head) && head.note) {
        one->skips = is_of_macro(&head);
        head.file = relative(head.file, directory);
        if (one->skips && !one->moved && is_ours(head.file) && !is_ours(one->head.file)) {
            one->moved = true;
            one->skips = false;
            one->head.file = head.file;
            one->head.line = head.line;
            one->head.column = head.column;
            one->detail.size = 0;
            return; /* the lines below show the place */
        }
    }
    if (!one->skips)
        sl_buffer_printf(&one->detail, "%s%.*s", one->detail.size ? "\n" : "", (int)line.size, line.data);
}

static bool is_told(const struct complaints *complaints, const struct one *one, size_t from)
{
    for (size_t i = from; i < complaints->count; i++) {
        const struct complaint *it = &complaints->items[i];
        if (it->line == (int)one->head.line && (one->moved || it->column == (int)one->head.column) &&
            sl_view_equal(one->head.file, sl_view_of(it->file)) &&
            sl_view_equal(one->head.message, sl_view_of(it->message)))
            return true;
    }
    return false;
}

/* A variable of a macro (silver/query.h) has no type after what is wrong with its value. */
static bool follows(const struct complaints *complaints, const struct one *one, size_t from)
{
    static const char name[] = "sl__name_";
    return complaints->count > from && one->head.message.size &&
           memmem(one->head.message.data, one->head.message.size, name, sizeof(name) - 1);
}

static void end(struct one *one, struct complaints *complaints, size_t from)
{
    if (one->head.error && !follows(complaints, one, from) && !is_told(complaints, one, from)) {
        struct complaint *complaint = add(complaints, &one->head);
        if (one->detail.size)
            complaint->detail = sl_strdup_heap(one->detail.data);
    }
    sl_buffer_done(&one->detail);
    *one = (struct one){0};
}

void diagnose(const char *output, const char *directory, struct complaints *complaints)
{
    struct one one = {0};
    size_t from = complaints->count;
    for (const char *rest = output; *rest;) {
        sl_view line = next_line(&rest);
        struct head head;
        if (read_head(line, &head) && !head.note) {
            end(&one, complaints, from);
            one.head = head;
            one.head.file = relative(head.file, directory);
        } else if (one.head.error) {
            read_line(&one, line, directory);
        }
    }
    end(&one, complaints, from);
}

size_t count_warnings(const char *output)
{
    size_t count = 0;
    for (const char *rest = output; *rest;) {
        struct head head;
        count += read_head(next_line(&rest), &head) && !head.error && !head.note;
    }
    return count;
}
