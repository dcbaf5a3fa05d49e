/* json.c: see json.h. */
#include "base/json.h"

static bool deeper_than(json_t *json, unsigned levels)
{
    const char *key;
    json_t *value;
    size_t i;
    if (!json_is_array(json) && !json_is_object(json))
        return false;
    if (levels == 0)
        return true;
    json_array_foreach(json, i, value)
    {
        if (deeper_than(value, levels - 1))
            return true;
    }
    json_object_foreach(json, key, value)
    {
        if (deeper_than(value, levels - 1))
            return true;
    }
    return false;
}

bool sl__json_too_deep(const json_t *json)
{
    return deeper_than((json_t *)json, SL__JSON_DEPTH_MAX);
}

char *sl__json_text(const json_t *json, const char **ret_wrong)
{
    *ret_wrong = SL__JSON_TOO_DEEP;
    if (sl__json_too_deep(json))
        return NULL;
    *ret_wrong = "cannot be written as JSON: it has a number that is not finite, or text that is not UTF-8";
    return json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
}
