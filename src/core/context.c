/* context.c: what is true of the work being done now. See context.h for the idea. */
#include "core/context.h"
#include "core/facet.h"
#include "core/task.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Each kind of key has numbers of its own; 0 is "not numbered yet", and its slot is always empty. */
static int key_index(sl_key *key)
{
    static atomic_int next[3] = {1, 1, 1};
    int index = __atomic_load_n(&key->index, __ATOMIC_RELAXED);
    if (index)
        return index;
    int mine = atomic_fetch_add(&next[key->kind], 1);
    /* Another thread, with a loop of its own, may have numbered the key meanwhile: then its number holds. */
    return __atomic_compare_exchange_n(&key->index, &index, mine, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
               ? mine
               : index;
}

SL_API sl_key sl_logger_key = {.name = "logger", .kind = SL_CAPTURED};

/* ---- Frames ---- */

static sl_context *context_with(sl_context *parent, sl_root *root, sl_key *key, void *value)
{
    unsigned index = (unsigned)key_index(key);
    unsigned count = parent && parent->count > index ? parent->count : index + 1;
    sl_context *context = sl_malloc(sizeof *context + count * sizeof(void *));
    *context = (sl_context){
        .references = 1, .count = count, .parent = sl__context_ref(parent), .root = root, .key = key};
    context->slots = (void **)(context + 1);
    unsigned inherited = parent ? parent->count : 0;
    if (inherited)
        memcpy(context->slots, parent->slots, inherited * sizeof(void *));
    memset(context->slots + inherited, 0, (count - inherited) * sizeof(void *));
    context->value = value && key->ref ? key->ref(value) : value;
    context->slots[index] = context->value;
    return context;
}

static void unlink_root(sl_root *root)
{
    if (!root->loop)
        return;
    sl_root **at = &root->loop->roots;
    while (*at != root)
        at = &(*at)->next;
    *at = root->next;
}

/* Takes apart what works in the root. What stops a plug-in may do so in a task, which keeps the root. */
static void root_shut(sl_root *root)
{
    sl__plugins_unload(root);
    if (root->plugins)
        return;
    while (root->object) {
        sl_object *object = root->object;
        root->object = NULL;
        sl_object_unref(object);
    }
    sl__channels_free(root);
    sl__adapters_free(root);
}

static void root_free(sl_root *root)
{
    root->base.references++;
    root_shut(root);
    if (--root->base.references)
        return;
    unlink_root(root);
    for (unsigned i = 0; i < root->count; i++)
        if (root->slots[i] && root->keys[i] && root->keys[i]->unref)
            root->keys[i]->unref(root->slots[i]);
    free(root->slots);
    free(root->keys);
    free(root->name);
    free(root);
}

void sl__context_free(sl_context *context)
{
    while (context && context->references == 0) {
        sl_context *parent = context->parent;
        if (context->root && context == &context->root->base) {
            root_free(context->root);
            return;
        }
        if (context->value && context->key->unref)
            context->key->unref(context->value);
        free(context);
        context = parent; /* a long chain must not recurse */
        if (context)
            context->references--;
    }
}

void *sl_get(sl_key *key)
{
    sl_loop *loop = sl__loop;
    unsigned index = (unsigned)key->index;
    if (!loop)
        return NULL;
    const sl_context *context = loop->context;
    if (__builtin_expect(key->kind == SL_CAPTURED, 1))
        return context && index < context->count ? context->slots[index] : NULL;
    if (key->kind == SL_ROOTED)
        return context && context->root && index < context->root->count ? context->root->slots[index] : NULL;
    const sl_task *task = loop->task;
    return task && index < task->local_count ? task->locals[index] : NULL;
}

/* ---- Blocks ---- */

static void set_local(sl_task *task, unsigned index, void *value)
{
    if (index >= task->local_count) {
        task->locals = sl_realloc(task->locals, (index + 1) * sizeof(void *));
        memset(task->locals + task->local_count, 0, (index + 1 - task->local_count) * sizeof(void *));
        task->local_count = index + 1;
    }
    task->locals[index] = value;
}

sl__with sl__with_enter(sl_key *key, void *value)
{
    sl_loop *loop = sl__loop_needed("SL_WITH");
    if (key->kind == SL_ROOTED)
        sl__die(NULL, "SL_WITH(%s): a rooted key is set on its root, with sl_root_set", key->name);
    if (key->kind == SL_TASK_LOCAL) {
        if (!loop->task)
            sl__die(NULL, "SL_WITH(%s): a task-local key has a value in tasks only", key->name);
        sl__with with = {.key = key, .value = sl_get(key), .task = loop->task};
        set_local(loop->task, (unsigned)key_index(key), value);
        return with;
    }
    sl__with with = {.context = loop->context};
    loop->context = context_with(loop->context, loop->context ? loop->context->root : NULL, key, value);
    return with;
}

sl__with sl__context_enter(sl_context *context)
{
    sl_loop *loop = sl__loop_needed("SL_IN_CONTEXT");
    sl__with with = {.context = loop->context};
    loop->context = sl__context_ref(context);
    return with;
}

sl__with sl__root_enter(sl_root *root)
{
    return sl__context_enter(&root->base);
}

void sl__with_leave(sl__with *with)
{
    if (with->key) {
        set_local(with->task, (unsigned)with->key->index, with->value);
        return;
    }
    sl_loop *loop = sl__loop;
    sl_context *left = loop->context;
    loop->context = with->context;
    sl__context_unref(left);
}

sl_context *sl_context_capture(void)
{
    return sl__context_ref(sl__loop_needed("sl_context_capture")->context);
}

sl_context *sl_context_release(sl_context *context)
{
    sl__context_unref(context);
    return NULL;
}

static void dump_value(sl_buffer *out, const sl_key *key, void *value)
{
    sl_buffer_printf(out, "%s: ", key->name);
    if (key->show && value)
        key->show(value, out);
    else
        sl_buffer_printf(out, "%p", value);
    sl_buffer_putc(out, '\n');
}

void sl_context_dump(sl_buffer *out)
{
    const sl_context *context = sl__loop ? sl__loop->context : NULL;
    sl_buffer_printf(out, "root: %s\n", context && context->root ? context->root->name : "none");
    for (const sl_context *frame = context; frame; frame = frame->parent)
        if (frame->key && frame->value == context->slots[frame->key->index])
            dump_value(out, frame->key, frame->value);
    const sl_root *root = context ? context->root : NULL;
    for (unsigned i = 1; root && i < root->count; i++)
        if (root->keys[i])
            dump_value(out, root->keys[i], root->slots[i]);
}

/* ---- Roots ---- */

sl_root *sl_root_new(sl_loop *loop, const char *name)
{
    sl_root *root = sl_calloc(1, sizeof *root);
    root->base = (sl_context){.references = 1, .root = root};
    root->loop = loop;
    root->name = sl_strdup_heap(name);
    root->epoch = sl__next_epoch();
    root->next = loop->roots;
    loop->roots = root;
    if (!loop->root) {
        loop->root = sl_root_ref(root);
        loop->context = sl__context_ref(&root->base);
    }
    return root;
}

sl_root *sl_root_ref(sl_root *root)
{
    root->base.references++;
    return root;
}

sl_root *sl_root_unref(sl_root *root)
{
    if (root)
        sl__context_unref(&root->base);
    return NULL;
}

static void for_each_root(sl_loop *loop, void (*function)(sl_root *root))
{
    sl_root *next;
    for (sl_root *root = loop->roots; root; root = next) {
        sl_root_ref(root);
        function(root);
        next = root->next;
        sl_root_unref(root);
    }
}

void sl__roots_unload(sl_loop *loop)
{
    for_each_root(loop, sl__plugins_unload);
}

void sl__context_done(sl_loop *loop)
{
    sl_context *context = loop->context;
    loop->context = NULL;
    sl__context_unref(context);
    loop->root = sl_root_unref(loop->root);
    for_each_root(loop, root_shut); /* what they have may be all that refers to them */
    while (loop->roots) { /* those that somebody still holds must not look for their loop any more */
        sl_root *root = loop->roots;
        loop->roots = root->next;
        root->loop = NULL;
        sl_log_to(sl_logger_stderr(), SL_WARNING, SL_HERE, "the loop ends, but root %s is still referred to",
                  root->name);
    }
}

sl_root *sl_root_current(void)
{
    return sl__loop && sl__loop->context ? sl__loop->context->root : NULL;
}

const char *sl_root_name(const sl_root *root)
{
    return root->name;
}

void sl_root_set(sl_root *root, sl_key *key, void *value)
{
    if (key->kind != SL_ROOTED)
        sl__die(NULL, "sl_root_set(%s): only a rooted key has its value in a root", key->name);
    unsigned index = (unsigned)key_index(key);
    if (index >= root->count) {
        root->slots = sl_realloc(root->slots, (index + 1) * sizeof *root->slots);
        root->keys = sl_realloc(root->keys, (index + 1) * sizeof *root->keys);
        for (; root->count <= index; root->count++) {
            root->slots[root->count] = NULL;
            root->keys[root->count] = NULL;
        }
    }
    void *old = root->slots[index];
    root->keys[index] = key;
    root->slots[index] = value && key->ref ? key->ref(value) : value;
    if (old && key->unref)
        key->unref(old);
}

void *sl_root_get(sl_root *root, sl_key *key)
{
    unsigned index = (unsigned)key->index;
    return index < root->count ? root->slots[index] : NULL;
}

void sl_root_set_logger(sl_root *root, sl_logger *logger)
{
    root->logger = logger;
}

sl_logger *sl_log_current(void)
{
    sl_logger *logger = sl_get(&sl_logger_key);
    sl_root *root = sl_root_current();
    if (!logger && root)
        logger = root->logger;
    return logger ? logger : sl_logger_stderr();
}
