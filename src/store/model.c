/* model.c: what is computed of a model's description.
 *
 * Each source file that uses a model has a description of its own, and so has each shared object: what makes
 * them the same is the name, as with interfaces. A number for each name belongs to the process; all else is
 * computed for a description when it is first used, and hangs on it. */
#include "store/store.h"
#include "core/task.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- Numbers ------------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    char **names; /* by number; 0 is nobody's */
    unsigned count;
} numbers = {.lock = PTHREAD_MUTEX_INITIALIZER, .count = 1};

static unsigned number_of(const char *name)
{
    unsigned number = 1;
    while (number < numbers.count && strcmp(numbers.names[number], name) != 0)
        number++;
    if (number == numbers.count) {
        numbers.names = sl_realloc(numbers.names, (numbers.count + 1) * sizeof(char *));
        numbers.names[numbers.count++] = sl_strdup_heap(name);
    }
    return number;
}

/* Several threads may be the first to use a description: it is written to once. */
unsigned sl__model_number(sl_model *model)
{
    unsigned number = __atomic_load_n(&model->index, __ATOMIC_ACQUIRE);
    if (number)
        return number;
    pthread_mutex_lock(&numbers.lock);
    if (!model->index)
        __atomic_store_n(&model->index, number_of(model->name), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&numbers.lock);
    return model->index;
}

const char *sl__model_table(const sl_model *model)
{
    return model->table ? model->table : model->name;
}

/* ---- What a description says --------------------------------------------------------------------------- */

static SL_NORETURN void refuse(const sl_site *site, const sl_model *model, const sl_column *column,
                               const char *why, const char *hint)
{
    sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVAL, "model %s: column %s %s", model->name,
                                                     column->name, why),
                                       "%s", hint));
}

static const sl_column *single_key(const sl_model *model)
{
    const sl_column *key = NULL;
    for (size_t i = 0; i < model->column_count; i++) {
        if (!model->columns[i].primary_key)
            continue;
        if (key)
            return NULL;
        key = &model->columns[i];
    }
    return key;
}

static void check_reference(const sl_site *site, const sl_model *model, const sl_column *column)
{
    const sl_model *target = column->refers();
    const sl_column *key = single_key(target);
    if (!key)
        refuse(site, model, column, sl_printf("refers to %s, whose key is not one column", target->name),
               "give that a key of one column, and make what was its key SL_TOGETHER(\"…\")");
    if (key->kind != column->kind)
        refuse(site, model, column, sl_printf("refers to %s by another type than its key has", target->name),
               sl_printf("write %s(%s)",
                         key->kind == SL_KIND_TEXT   ? "refers_text"
                         : key->kind == SL_KIND_UUID ? "refers_uuid"
                                                     : "refers",
                         target->name));
}

static void check_column(const sl_site *site, const sl_model *model, const sl_column *column)
{
    if (column->version && column->kind != SL_KIND_INTEGER)
        refuse(site, model, column, "is SL_VERSION and no integer", "write F(version, integer, SL_VERSION)");
    if (column->lazy && (column->primary_key || column->version))
        refuse(site, model, column, "cannot be lazy", "the key and the version are read with the object");
    if (column->primary_key && column->kind != SL_KIND_INTEGER && column->kind != SL_KIND_TEXT &&
        column->kind != SL_KIND_UUID)
        refuse(site, model, column, "cannot be in the primary key", "keys are integers, texts and UUIDs");
    if (column->scale > 18)
        refuse(site, model, column, "has a scale above 18", "a decimal has 18 digits at most");
    if (column->kind == SL_KIND_ROW && !model->result)
        refuse(site, model, column, "is a whole object",
               "in a model write refers(m); row(m) is for SL_RESULT");
    if (model->result && (column->primary_key || column->lazy || column->version || column->standard))
        refuse(site, model, column, "has an option that only tables have", "leave it out of the SL_RESULT");
    if (column->on_delete == SL_SET_NULL && column->required)
        refuse(site, model, column, "is SL_REQUIRED and would be set to NULL", "leave one of the two out");
    if (column->refers && column->kind != SL_KIND_ROW)
        check_reference(site, model, column);
}

static void add_field(const sl_model *model, sl__model_info *info, unsigned i)
{
    const sl_column *column = &model->columns[i];
    uint64_t bit = UINT64_C(1) << i;
    info->all[i] = sl__column_field(model, i);
    if (column->primary_key)
        info->keys[info->key_count++] = i;
    if (column->lazy) {
        info->lazy |= bit;
    } else {
        info->fields[info->read_count] = info->all[i];
        info->reads[info->read_count++] = i;
    }
    if (column->version)
        info->version = (int)i;
    if (column->required || column->primary_key)
        info->required |= bit;
    if (column->refers && column->kind != SL_KIND_ROW)
        info->refers |= bit;
    if (column->kind == SL_KIND_JSON)
        info->json |= bit;
    if (column->kind == SL_KIND_TEXT || column->kind == SL_KIND_BYTES || column->kind == SL_KIND_JSON)
        info->pointers |= bit;
    if (column->standard)
        info->standards |= bit;
    if (column->required || column->max || column->validate || column->kind == SL_KIND_TEXT ||
        column->kind == SL_KIND_DECIMAL || column->kind == SL_KIND_ENUM || column->kind == SL_KIND_DATE ||
        column->kind == SL_KIND_JSON || column->kind == SL_KIND_REAL)
        info->checked |= bit;
    info->unique |= column->unique && !column->primary_key;
    info->called |= column->validate != NULL;
}

/* The object that sl_new begins with. */
static void make_blank(const sl_site *site, const sl_model *model, sl__model_info *info)
{
    info->blank = sl_calloc(1, model->size);
    uint64_t nulls = 0;
    for (unsigned i = 0; i < model->column_count; i++) {
        const sl_column *column = &model->columns[i];
        bool timed = column->kind == SL_KIND_TIME || column->kind == SL_KIND_DATE;
        if (!column->standard) {
            nulls |= UINT64_C(1) << i;
        } else if (timed && strcmp(column->standard, "now") == 0) {
            info->nows |= UINT64_C(1) << i;
        } else {
            /* Text of an object that is not yet anybody's: the description's own. */
            sl_value value = {.kind = SL_KIND_TEXT, .text = sl_view_of(column->standard)};
            sl_error *error =
                sl__field_from_value(&info->all[i], &value, info->blank, &nulls, /* arena= */ NULL);
            if (error) {
                sl_error_unref(error);
                refuse(site, model, column, sl_printf("has the default \"%s\"", column->standard),
                       "that is no value of its type");
            }
        }
    }
    *(uint64_t *)((char *)info->blank + model->null_offset) = nulls;
}

static void free_info(sl__model_info **info)
{
    if (!*info)
        return;
    for (uint64_t left = (*info)->blank ? (*info)->json : 0; left; left &= left - 1)
        json_decref(*(json_t **)((char *)(*info)->blank + (*info)->all[__builtin_ctzll(left)].offset));
    free((*info)->fields);
    free((*info)->blank);
    free(*info);
}

static void compute(const sl_site *site, sl_model *model, sl__model_info *info)
{
    for (size_t i = 0; i < model->column_count; i++)
        check_column(site, model, &model->columns[i]);
    info->fields = sl_calloc(2 * model->column_count, sizeof(sl__field));
    info->all = info->fields + model->column_count;
    info->automatic = info->version = -1;
    info->called = model->before_flush || model->flushed;
    for (unsigned i = 0; i < model->column_count; i++)
        add_field(model, info, i);
    if (info->key_count > SL__KEY_PARTS)
        refuse(site, model, &model->columns[info->keys[SL__KEY_PARTS]], "is one column of the key too many",
               "a primary key has 8 columns at most");
    if (info->key_count == 1) {
        const sl_column *key = &model->columns[info->keys[0]];
        info->whole_key = key->kind == SL_KIND_INTEGER && !key->refers;
        if (info->whole_key || (key->kind == SL_KIND_UUID && !key->refers))
            info->automatic = (int)info->keys[0];
    }
    for (size_t i = 0; i < SL__MODEL_INDEXES; i++)
        info->unique |= sl__model_index(model, i)->columns && sl__model_index(model, i)->unique;
    if (!model->result && info->key_count == 0)
        sl__fail_error(
            site, sl_error_hint(sl__error_new(site, SL_EINVAL, "model %s has no primary key", model->name),
                                "give one column, or several, the option SL_PRIMARY_KEY"));
    make_blank(site, model, info);
}

sl__model_info *sl__model_info_make(const sl_site *site, sl_model *model)
{
    sl__model_number(model);
    sl__model_info *info SL_CLEANUP(free_info) = sl_calloc(1, sizeof *info), *there = NULL;
    compute(site, model, info);
    if (!__atomic_compare_exchange_n(&model->info, &there, info, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return there; /* another thread was first */
    info = NULL;
    return model->info;
}
