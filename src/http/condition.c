/* condition.c: conditional requests, RFC 9110 section 13.
 *
 * A client says which version of a thing it has or wants; we answer 304 where it has the current one and 412
 * where the current one is not what it wants. Versions are named by entity tags, strong ones ("these very
 * bytes") and weak ones ("as good as"), or by dates. What is malformed never matches. */
#include "http/content.h"

static bool is(const sl__field *field, const char *name)
{
    return sl_view_equal_nocase((sl_view){field->name, field->name_size}, sl_view_of(name));
}

static void once(const char **slot, const sl__field *field)
{
    *slot = *slot ? "" : field->value;
}

void sl__conditions_read(const sl_request *req, sl__conditions *ret)
{
    *ret = (sl__conditions){0};
    for (size_t i = 0; i < req->fields.count; i++) {
        const sl__field *field = &req->fields.items[i];
        switch (field->name_size) {
        case 5:
            if (is(field, "Range"))
                once(&ret->range, field);
            break;
        case 8:
            if (is(field, "If-Match"))
                ret->if_match = true;
            else if (is(field, "If-Range"))
                once(&ret->if_range, field);
            break;
        case 13:
            ret->if_none_match |= is(field, "If-None-Match");
            break;
        case 15:
            if (is(field, "Accept-Encoding") && ret->accept_lines++ == 0)
                ret->accept_encoding = field->value;
            break;
        case 17:
            if (is(field, "If-Modified-Since"))
                once(&ret->if_modified_since, field);
            break;
        case 19:
            if (is(field, "If-Unmodified-Since"))
                once(&ret->if_unmodified_since, field);
            break;
        }
    }
}

bool sl__conditions_any(const sl__conditions *conditions)
{
    return conditions->range || conditions->if_match || conditions->if_none_match ||
           conditions->if_modified_since || conditions->if_unmodified_since;
}

/* ---- Entity tags ------------------------------------------------------------------------------------- */

typedef struct tag {
    bool weak;
    sl_view opaque; /* without the quotes */
} tag;

/* The next tag of a list; false at its end and where it is malformed. */
static bool next_tag(const char **cursor, tag *ret)
{
    const char *at = *cursor;
    while (*at == ' ' || *at == '\t' || *at == ',')
        at++;
    ret->weak = at[0] == 'W' && at[1] == '/';
    if (ret->weak)
        at += 2;
    if (*at++ != '"')
        return false;
    const char *start = at;
    while ((unsigned char)*at > ' ' && *at != '"' && *at != 0x7f)
        at++;
    if (*at != '"')
        return false;
    ret->opaque = (sl_view){start, (size_t)(at - start)};
    at++;
    while (*at == ' ' || *at == '\t')
        at++;
    if (*at != ',' && *at != 0)
        return false;
    *cursor = at;
    return true;
}

static bool list_matches(const char *value, const char *etag, bool strong)
{
    if (sl_view_equal(sl_view_trim(sl_view_of(value), " \t"), SL_VIEW("*")))
        return true; /* whatever there is */
    tag ours, theirs;
    if (!etag || !next_tag(&etag, &ours) || (strong && ours.weak))
        return false;
    while (next_tag(&value, &theirs)) {
        if (sl_view_equal(ours.opaque, theirs.opaque) && !(strong && theirs.weak))
            return true;
    }
    return false;
}

/* Whether any line of this field names the tag. */
static bool field_matches(const sl_request *req, const char *name, const char *etag, bool strong)
{
    for (size_t i = 0; i < req->fields.count; i++) {
        if (is(&req->fields.items[i], name) && list_matches(req->fields.items[i].value, etag, strong))
            return true;
    }
    return false;
}

/* ---- Verdicts ---------------------------------------------------------------------------------------- */

static bool read_date(const char *value, int64_t *ret)
{
    return value && sl__http_date_parse(sl_view_of(value), ret) == 0;
}

sl__verdict sl__conditions_judge(const sl_request *req, const sl__conditions *conditions, const char *etag,
                                 const char *last_modified)
{
    int64_t modified, date;
    bool dated = read_date(last_modified, &modified);
    if (conditions->if_match) {
        if (!field_matches(req, "If-Match", etag, /* strong= */ true))
            return SL__PRECONDITION_FAILED;
    } else if (dated && read_date(conditions->if_unmodified_since, &date)) {
        if (modified > date)
            return SL__PRECONDITION_FAILED;
    }
    if (conditions->if_none_match) {
        if (field_matches(req, "If-None-Match", etag, /* strong= */ false))
            return SL__NOT_MODIFIED;
    } else if (dated && read_date(conditions->if_modified_since, &date)) {
        if (modified <= date)
            return SL__NOT_MODIFIED;
    }
    return SL__GO_ON;
}

bool sl__conditions_range_holds(const sl__conditions *conditions, const char *etag, const char *last_modified)
{
    if (!conditions->if_range)
        return true;
    tag ours, theirs;
    const char *value = conditions->if_range;
    if (next_tag(&value, &theirs) && *value == 0)
        return etag && next_tag(&etag, &ours) && !ours.weak && !theirs.weak &&
               sl_view_equal(ours.opaque, theirs.opaque);
    int64_t modified, date;
    /* A date is a strong validator only once its second is over. */
    return read_date(last_modified, &modified) && read_date(conditions->if_range, &date) &&
           modified == date && modified < sl_wall_ms() / 1000 - 1;
}
