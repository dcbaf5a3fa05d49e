/* new.c: objects that are not stored yet.
 *
 * C does not tell which fields an initialiser names, and what is not named is 0 as well. So the text of the
 * initialiser is looked at, once for each place in the program: ".name = x, .age = f(1, 2)" names `name` and
 * `age`. */
#include "store/store.h"
#include "core/task.h"

#include <ctype.h>

/* ---- Which fields are named ---------------------------------------------------------------------------- */

/* Past a literal that begins at `at`, a quote. */
static const char *skip_literal(const char *at)
{
    char quote = *at++;
    while (*at && *at != quote)
        at += *at == '\\' && at[1] ? 2 : 1;
    return *at ? at + 1 : at;
}

/* Past an initialiser's value, to the comma after it or the end. */
static const char *skip_value(const char *at)
{
    int depth = 0;
    while (*at && !(depth == 0 && *at == ',')) {
        if (*at == '"' || *at == '\'') {
            at = skip_literal(at);
            continue;
        }
        depth += strchr("([{", *at) != NULL;
        depth -= strchr(")]}", *at) != NULL;
        at++;
    }
    return at;
}

static int column_named(const sl_model *model, const char *name, size_t size)
{
    for (unsigned i = 0; i < model->column_count; i++)
        if (strncmp(model->columns[i].name, name, size) == 0 && !model->columns[i].name[size])
            return (int)i;
    return -1;
}

static void find_named(const sl_site *site, const sl_model *model, sl__named *named)
{
    const char *at = named->text;
    uint64_t columns = 0;
    while (*at) {
        at += strspn(at, " \t\n,");
        if (!*at)
            break;
        if (strncmp(at, ".null.", 6) == 0) /* .null.age = 1: it is given, as NULL */
            at += 5;
        size_t size = 0;
        if (*at == '.')
            while (isalnum((unsigned char)at[1 + size]) || at[1 + size] == '_')
                size++;
        int column = column_named(model, at + 1, size);
        bool mask = size == 4 && strncmp(at + 1, "null", 4) == 0; /* .null = {…} */
        if (column < 0 && !mask)
            sl__fail_error(
                site, sl_error_hint(sl__error_new(site, SL_EINVAL, "sl_new(%s, …) does not name its fields",
                                                  model->name),
                                    "write .column = value for each, and no macro in place of the name"));
        if (column >= 0)
            columns |= UINT64_C(1) << column;
        at = skip_value(at);
    }
    __atomic_store_n(&named->columns, columns, __ATOMIC_RELAXED); /* other threads find the same */
    __atomic_store_n(&named->known, true, __ATOMIC_RELEASE);
}

/* ---- Making one ---------------------------------------------------------------------------------------- */

static void set_now(const sl_model *model, sl_row *row, uint64_t columns)
{
    for (unsigned i = 0; i < model->column_count; i++) {
        if (!(columns >> i & 1))
            continue;
        void *member = (char *)row + model->columns[i].offset;
        if (model->columns[i].kind == SL_KIND_TIME)
            *(int64_t *)member = sl_time_now();
        else
            *(sl_date *)member = sl_date_today();
    }
}

static void copy_standards(const sl_model *model, sl_row *row, uint64_t columns)
{
    const char *blank = model->info->blank;
    for (unsigned i = 0; i < model->column_count; i++)
        if (columns >> i & 1)
            memcpy((char *)row + model->columns[i].offset, blank + model->columns[i].offset,
                   model->columns[i].size);
}

/* A text, bytes or JSON that is given as NULL is NULL. */
static uint64_t nulls_given(const sl_model *model, const sl_row *row, uint64_t named)
{
    uint64_t nulls = 0;
    for (uint64_t left = named & model->info->pointers; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (!*(void *const *)((const char *)row + model->columns[i].offset))
            nulls |= UINT64_C(1) << i;
    }
    return nulls;
}

void *sl__new(const sl_site *site, sl_model *model, const void *values, sl__named *named)
{
    const sl__model_info *info = sl__model_info_of(site, model);
    if (__builtin_expect(!__atomic_load_n(&named->known, __ATOMIC_ACQUIRE), 0))
        find_named(site, model, named);
    uint64_t columns = __atomic_load_n(&named->columns, __ATOMIC_RELAXED);
    sl_transaction *t = sl_transaction_current();
    sl_row *row = sl_arena_alloc(t ? t->arena : sl_task_arena(), model->size);
    memcpy(row, values, model->size);
    *row = (sl_row){.model = model, .site = site, .state = SL__ROW_NEW};
    uint64_t unset = info->standards & ~columns;
    if (unset)
        copy_standards(model, row, unset);
    if (unset & info->nows)
        set_now(model, row, unset & info->nows);
    uint64_t nulls = *(const uint64_t *)((const char *)info->blank + model->null_offset) & ~columns;
    *sl__nulls_of(row) |= nulls | nulls_given(model, row, columns);
    return row;
}
