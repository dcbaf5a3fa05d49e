/* changes.c: what of a manifest a reload does not reach.
 *
 * Instances read the manifest anew, so most of it takes effect with the next one. The supervisor does not:
 * what it holds (the slot, the addresses, the log and its name, the watch on the sources) it holds from its
 * start on. */
#include "run/manifest.h"

static void put(sl_buffer *out, const char *what)
{
    sl_buffer_printf(out, "%s%s", out->size ? ", " : "", what);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_slots(const struct manifest *a, const struct manifest *b)
{
    if (a->slot_count != b->slot_count)
        return false;
    for (size_t i = 0; i < a->slot_count; i++) {
        const struct manifest_slot *x = &a->slots[i], *y = &b->slots[i];
        if (x->number != y->number || !same_text(x->address, y->address) ||
            !same_text(x->directory, y->directory))
            return false;
    }
    return true;
}

/* Of the runner, the directory: that is what is watched. */
static bool same_folder(const char *a, const char *b)
{
    const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
    size_t size_a = slash_a ? (size_t)(slash_a - a) : 0, size_b = slash_b ? (size_t)(slash_b - b) : 0;
    return sl_view_equal((sl_view){a, size_a}, (sl_view){b, size_b});
}

void manifest_unreached(const struct manifest *old, const struct manifest *now, sl_buffer *out)
{
    if (!same_text(old->app_name, now->app_name))
        put(out, "app_name");
    if (!same_folder(old->runner, now->runner))
        put(out, "the runner's directory");
    if (old->python != now->python)
        put(out, "the runner's language");
    if (!same_slots(old, now))
        put(out, "[slots]");
    if (!same_text(old->metrics, now->metrics))
        put(out, "[metrics] listen");
}
