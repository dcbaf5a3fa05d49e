/* string.c: views of bytes, and buffers that grow. */
#include <silver/base.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

bool sl_view_equal_nocase(sl_view a, sl_view b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        unsigned char x = (unsigned char)a.data[i], y = (unsigned char)b.data[i];
        if (x != y && ((x | 0x20) != (y | 0x20) || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
            return false;
    }
    return true;
}

sl_view sl_view_trim(sl_view view, const char *characters)
{
    while (view.size && view.data[0] && strchr(characters, view.data[0]))
        view = (sl_view){view.data + 1, view.size - 1};
    while (view.size && view.data[view.size - 1] && strchr(characters, view.data[view.size - 1]))
        view.size--;
    return view;
}

int sl_view_number(sl_view view, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (view.size == 0)
        return SL_EPARSE;
    for (size_t i = 0; i < view.size; i++) {
        unsigned digit = (unsigned char)view.data[i] - '0';
        if (digit > 9 || digit > max || number > (max - digit) / 10)
            return SL_EPARSE;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return 0;
}

/* The restricted Damerau-Levenshtein distance, with three rows of its table: two before, the one before,
 * this. */
size_t sl_word_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t size_a = strlen(a), size_b = strlen(b);
    if (size_a > LONGEST || size_b > LONGEST)
        return SIZE_MAX;
    unsigned char rows[3][LONGEST + 1];
    for (size_t j = 0; j <= size_b; j++)
        rows[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= size_a; i++) {
        unsigned char *row = rows[i % 3], *above = rows[(i + 2) % 3], *higher = rows[(i + 1) % 3];
        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= size_b; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1u < best)
                best = above[j] + 1u;
            if (row[j - 1] + 1u < best)
                best = row[j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && higher[j - 2] + 1u < best)
                best = higher[j - 2] + 1u;
            row[j] = (unsigned char)best;
        }
    }
    return rows[size_a % 3][size_b];
}

/* The length of a well-formed sequence at the start of the data, 0 if there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t size)
{
    static const struct {
        unsigned char lead_min, lead_max, second_min, second_max, length;
    } forms[] = {
        /* RFC 3629, section 4 */
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sl_array_size(forms); i++) {
        if (p[0] < forms[i].lead_min || p[0] > forms[i].lead_max)
            continue;
        if (size < forms[i].length || p[1] < forms[i].second_min || p[1] > forms[i].second_max)
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

bool sl_utf8_valid(const char *data, size_t size)
{
    const unsigned char *p = (const unsigned char *)data, *end = size ? p + size : p;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), (eight & 0x8080808080808080u) == 0)) {
            p += 8;
            continue;
        }
        size_t length = *p < 0x80 ? 1 : utf8_sequence(p, (size_t)(end - p));
        if (length == 0)
            return false;
        p += length;
    }
    return true;
}

/* ---- Buffers ---- */

void sl_buffer_done(sl_buffer *buffer)
{
    free(buffer->data);
    *buffer = (sl_buffer){0};
}

void sl_buffer_reserve(sl_buffer *buffer, size_t more)
{
    size_t needed = buffer->size + more + 1;
    if (needed <=
        more) /* no memory is as large: this ends the process, as any size that there is no memory for */
        needed = SIZE_MAX;
    if (needed <= buffer->capacity)
        return;
    size_t capacity = buffer->capacity < 32 ? 64 : buffer->capacity * 2;
    buffer->capacity = capacity > needed ? capacity : needed;
    buffer->data = sl_realloc(buffer->data, buffer->capacity);
}

void sl_buffer_put(sl_buffer *buffer, const void *data, size_t size)
{
    sl_buffer_reserve(buffer, size);
    if (size)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void sl_buffer_puts(sl_buffer *buffer, const char *string)
{
    sl_buffer_put(buffer, string, strlen(string));
}

void sl_buffer_vprintf(sl_buffer *buffer, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    sl_buffer_reserve(buffer, 64);
    size_t room = buffer->capacity - buffer->size;
    int size = vsnprintf(buffer->data + buffer->size, room, format, arguments);
    if (size > 0 && (size_t)size >= room) {
        sl_buffer_reserve(buffer, (size_t)size);
        vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, again);
    }
    va_end(again);
    buffer->size += size > 0 ? (size_t)size : 0;
    buffer->data[buffer->size] = '\0';
}

void sl_buffer_printf(sl_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(buffer, format, arguments);
    va_end(arguments);
}

void sl_buffer_consume(sl_buffer *buffer, size_t size)
{
    if (size >= buffer->size)
        size = buffer->size;
    buffer->size -= size;
    if (buffer->data) {
        memmove(buffer->data, buffer->data + size, buffer->size);
        buffer->data[buffer->size] = '\0';
    }
}

int sl_buffer_read(sl_buffer *buffer, int fd, size_t max)
{
    for (;;) {
        sl_buffer_reserve(buffer, 4096);
        ssize_t size = read(fd, buffer->data + buffer->size, buffer->capacity - buffer->size - 1);
        if (size < 0 && errno == EINTR)
            continue;
        int code = size < 0 ? -errno : 0;
        buffer->size += size > 0 ? (size_t)size : 0;
        buffer->data[buffer->size] = '\0';
        if (size <= 0)
            return code;
        if (buffer->size > max)
            return SL_E2BIG;
    }
}

static const char *html_entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void sl_buffer_put_html(sl_buffer *buffer, const char *data, size_t size)
{
    size_t plain = 0;
    for (size_t i = 0; i < size; i++) {
        const char *entity = html_entity(data[i]);
        if (!entity)
            continue;
        sl_buffer_put(buffer, data + plain, i - plain);
        sl_buffer_puts(buffer, entity);
        plain = i + 1;
    }
    if (plain < size)
        sl_buffer_put(buffer, data + plain, size - plain);
}
