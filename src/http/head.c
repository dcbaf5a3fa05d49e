/* head.c: a response's head as bytes.
 *
 * The room is measured first and everything then copied once. Fields that say how the message is framed are
 * ours alone: what a handler says in Content-Length, Transfer-Encoding or Connection never reaches the wire
 * as it stands (but "Connection: close" is heard). */
#include "http/accept.h"
#include "http/server.h"
#include "http/status.h"

#define STATUS_LINE(number, reason)                                                                          \
    case number:                                                                                             \
        return SL_VIEW("HTTP/1.1 " #number " " reason "\r\n");
static sl_view status_line(int status, char room[static 32])
{
    switch (status) {
        SL__STATUSES(STATUS_LINE)
    default:
        memcpy(room, "HTTP/1.1 ", 9);
        room[9] = (char)('0' + status / 100 % 10);
        room[10] = (char)('0' + status / 10 % 10);
        room[11] = (char)('0' + status % 10);
        memcpy(room + 12, " \r\n", 3);
        return (sl_view){room, 15};
    }
}

#define REASON(number, reason)                                                                               \
    case number:                                                                                             \
        return reason;
const char *sl_status_reason(int status)
{
    switch (status) {
        SL__STATUSES(REASON)
    default:
        return "";
    }
}

typedef enum kind {
    PLAIN,
    DATE,
    TYPE,
    CONNECTION,
    FRAMING, /* ours */
} kind;

static bool is(const sl__field *field, const char *name)
{
    for (size_t i = 0; i < field->name_size; i++) {
        if ((field->name[i] | 0x20) != name[i])
            return false;
    }
    return true;
}

static kind kind_of(const sl__field *field)
{
    switch (field->name_size) {
    case 4:
        return is(field, "date") ? DATE : PLAIN;
    case 10:
        return is(field, "connection") ? CONNECTION : is(field, "keep-alive") ? FRAMING : PLAIN;
    case 12:
        return is(field, "content-type") ? TYPE : PLAIN;
    case 14:
        return is(field, "content-length") ? FRAMING : PLAIN;
    case 17:
        return is(field, "transfer-encoding") ? FRAMING : PLAIN;
    default:
        return PLAIN;
    }
}

static char *put(char *at, const char *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}
#define PUT(at, literal) put((at), literal, sizeof(literal) - 1)

static char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static char *put_framing(char *at, const sl__head *head)
{
    if (head->no_length || head->until_close)
        return at;
    if (head->chunked)
        return PUT(at, "Transfer-Encoding: chunked\r\n");
    at = PUT(at, "Content-Length: ");
    at = put_number(at, head->length);
    return PUT(at, "\r\n");
}

static char *put_connection(char *at, const sl__exchange *exchange, int status)
{
    if (status == 101)
        return PUT(at, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    if (status == 426)
        at = PUT(at, "Connection: Upgrade\r\n");
    if (!exchange->keep_alive)
        return PUT(at, "Connection: close\r\n");
    return exchange->request.minor == 0 ? PUT(at, "Connection: keep-alive\r\n") : at;
}

/* What the fields come to, and what they say to us. */
static size_t look_through(sl__exchange *exchange, const sl_response *res, bool *ret_date, bool *ret_type)
{
    size_t size = 0;
    for (size_t i = 0; i < res->fields.count; i++) {
        const sl__field *field = &res->fields.items[i];
        size += (size_t)field->name_size + field->value_size + 4;
        switch (kind_of(field)) {
        case DATE:
            *ret_date = true;
            break;
        case TYPE:
            *ret_type = true;
            break;
        case CONNECTION:
            if (sl__list_has(field->value, "close"))
                exchange->keep_alive = false;
            break;
        default:
            break;
        }
    }
    return size;
}

uv_buf_t sl__head_format(sl__exchange *exchange, const sl_response *res, const sl__head *head)
{
    bool has_date = false, has_type = false;
    size_t fields_size = look_through(exchange, res, &has_date, &has_type);
    if (head->until_close)
        exchange->keep_alive = false;
    const char *type = has_type ? NULL : res->type;
    size_t type_size = type ? strlen(type) : 0;

    char room[32];
    sl_view line = status_line(res->status, room);
    char *start =
        sl_arena_alloc(exchange->request.arena, line.size + 200 + type_size + fields_size + head->room);
    exchange->sent_ns = sl_monotonic_ns();
    char *at = put(start, line.data, line.size);
    if (!has_date)
        at = put(at, sl__server_date(exchange->request.server, exchange->sent_ns), 37);
    if (type) {
        at = PUT(at, "Content-Type: ");
        at = put(at, type, type_size);
        at = PUT(at, "\r\n");
    }
    at = put_framing(at, head);
    at = put_connection(at, exchange, res->status);
    for (size_t i = 0; i < res->fields.count; i++) {
        const sl__field *field = &res->fields.items[i];
        kind what = kind_of(field);
        if (what == FRAMING || what == CONNECTION)
            continue;
        at = put(at, field->name, field->name_size);
        at = PUT(at, ": ");
        at = put(at, field->value, field->value_size);
        at = PUT(at, "\r\n");
    }
    at = PUT(at, "\r\n");
    return uv_buf_init(start, (unsigned)(at - start));
}
