/* template_render.c: walks a template's tree and writes the page.
 *
 * Files that extend one another make a chain of layers. The page is what the base says, and at each of its
 * blocks the most derived layer that has a block of that name says what stands there. An included file begins
 * a chain of its own, but sees the variables of the place where it is included. */

#include "web/template.h"

static int render_nodes(sl__rendering *state, const sl__node *node);

/* ---- Values ------------------------------------------------------------------------------------------ */

static int render_print(sl__rendering *state, const sl__node *node)
{
    sl__value value;
    if (sl__evaluate(state, node->print, &value) < 0)
        return SL_ETEMPLATE;
    if (value.kind == SL__V_STRING && !value.safe) {
        sl_buffer_put_html(state->out, value.string.data, value.string.size);
        return 0;
    }
    if (!sl__put_value(state->out, &value))
        return sl__render_wrong(state, node->print->offset,
                                "show one of its members, or all of it with | json",
                                "%s cannot be shown as text", sl__value_kind_name(&value));
    return 0;
}

static int render_if(sl__rendering *state, const sl__node *node)
{
    for (const sl__branch *branch = node->branches; branch; branch = branch->next) {
        bool truth = true;
        if (branch->condition && sl__evaluate_condition(state, branch->condition, &truth) < 0)
            return SL_ETEMPLATE;
        if (truth)
            return render_nodes(state, branch->body);
    }
    return 0;
}

/* ---- Loops ------------------------------------------------------------------------------------------- */

/* One round of a loop, with its variables around the body. */
static int render_round(sl__rendering *state, const sl__node *node, const sl__loop *loop,
                        const sl__value *key, const sl__value *item)
{
    const sl__variable *outer = state->variables;
    sl__variable about = {"loop", {.kind = SL__V_LOOP, .loop = loop}, outer};
    sl__variable value = {node->loop.item, *item, &about};
    sl__variable first = {node->loop.key, *key, &value};
    state->variables = node->loop.key ? &first : &value;
    int got = render_nodes(state, node->loop.body);
    state->variables = outer;
    return got;
}

static int loop_over_array(sl__rendering *state, const sl__node *node, json_t *array)
{
    sl__loop loop = {.length = json_array_size(array)};
    int got = 0;
    for (; loop.index < loop.length && got == 0; loop.index++) {
        sl__value key = {.kind = SL__V_INTEGER, .integer = (json_int_t)loop.index};
        sl__value item = sl__value_of(json_array_get(array, loop.index));
        got = render_round(state, node, &loop, &key, &item);
    }
    return got;
}

/* One variable takes the keys, two take keys and values. */
static int loop_over_object(sl__rendering *state, const sl__node *node, json_t *object)
{
    sl__loop loop = {.length = json_object_size(object)};
    int got = 0;
    for (void *at = json_object_iter(object); at && got == 0;
         at = json_object_iter_next(object, at), loop.index++) {
        sl__value key = {.kind = SL__V_STRING,
                         .string = {json_object_iter_key(at), json_object_iter_key_len(at)}};
        sl__value item = sl__value_of(json_object_iter_value(at));
        got = render_round(state, node, &loop, &key, node->loop.key ? &item : &key);
    }
    return got;
}

static int render_for(sl__rendering *state, const sl__node *node)
{
    sl__value sequence;
    if (sl__evaluate(state, node->loop.sequence, &sequence) < 0)
        return SL_ETEMPLATE;
    if (sequence.kind == SL__V_NULL)
        return render_nodes(state, node->loop.otherwise);
    if (sequence.kind != SL__V_JSON)
        return sl__render_wrong(state, node->loop.sequence->offset, NULL,
                                "\"for\" walks a list or an object, not %s", sl__value_kind_name(&sequence));
    bool array = json_is_array(sequence.json);
    if ((array ? json_array_size(sequence.json) : json_object_size(sequence.json)) == 0)
        return render_nodes(state, node->loop.otherwise);
    return array ? loop_over_array(state, node, sequence.json) : loop_over_object(state, node, sequence.json);
}

/* ---- Files ------------------------------------------------------------------------------------------- */

/* The template of a name that stands at a place in the file at work. */
static int find_file(sl__rendering *state, size_t offset, const char *name, sl__template **ret_template)
{
    sl_error *error;
    if (sl__templates_get(state->templates, state->site, name, ret_template, &error) == 0)
        return 0;
    /* A file that is not there is a mistake of who names it; one that is wrong says so itself. */
    if (error->code == SL_ENOENT) {
        sl__render_wrong(state, offset, error->hint, "%s", error->message);
        sl_error_unref(error);
    } else {
        state->error = error;
    }
    return SL_ETEMPLATE;
}

static int render_include(sl__rendering *state, const sl__node *node)
{
    if (state->files == SL__TEMPLATE_FILES)
        return sl__render_wrong(state, node->offset, "a file that includes itself must stop at some depth",
                                "includes go more than %d files deep", SL__TEMPLATE_FILES);
    sl__template *templ;
    if (find_file(state, node->offset, node->include, &templ) < 0)
        return SL_ETEMPLATE;
    const sl__template *here = state->templ;
    const sl__layer *layer = state->layer;
    state->files++;
    int got = sl__template_render(state, templ);
    state->files--;
    state->layer = layer;
    state->templ = here;
    return got;
}

static const sl__block *find_block(const sl__template *templ, const char *name)
{
    for (const sl__block *block = templ->blocks; block; block = block->next)
        if (strcmp(block->name, name) == 0)
            return block;
    return NULL;
}

static int render_block(sl__rendering *state, const sl__node *node)
{
    const sl__template *here = state->templ;
    const sl__block *shown = node->block;
    for (const sl__layer *layer = state->layer; layer; layer = layer->derived) {
        const sl__block *block = find_block(layer->templ, node->block->name);
        if (block) {
            shown = block;
            state->templ = layer->templ;
        }
    }
    int got = render_nodes(state, shown->body);
    state->templ = here;
    return got;
}

/* A block that no file below has is most often a misspelt one. */
static int check_blocks(sl__rendering *state, const sl__layer *base)
{
    for (const sl__layer *layer = base->derived; layer; layer = layer->derived)
        for (const sl__block *block = layer->templ->blocks; block; block = block->next) {
            bool known = false;
            for (const sl__layer *below = base; below != layer && !known; below = below->derived)
                known = find_block(below->templ, block->name);
            /* Blocks inside of blocks are new ones, which are shown where they stand. */
            for (const sl__node *node = layer->templ->nodes; node && !known; node = node->next)
                known = node->kind == SL__NODE_BLOCK && node->block != block &&
                        node->block->offset < block->offset &&
                        (!node->next || node->next->offset > block->offset);
            if (!known) {
                state->templ = layer->templ;
                return sl__render_wrong(state, block->offset, NULL,
                                        "templates/%s has no block \"%s\", so this would never be shown",
                                        layer->templ->extends, block->name);
            }
        }
    return 0;
}

/* Follows `extends` down to the base, one layer a call. */
static int render_layers(sl__rendering *state, const sl__template *templ, const sl__layer *derived,
                         unsigned count)
{
    sl__layer layer = {templ, derived};
    state->templ = templ;
    if (templ->extends) {
        if (count == SL__TEMPLATE_FILES)
            return sl__render_wrong(state, templ->extends_offset, "does a file extend itself?",
                                    "more than %d files extend one another", SL__TEMPLATE_FILES);
        sl__template *base;
        if (find_file(state, templ->extends_offset, templ->extends, &base) < 0)
            return SL_ETEMPLATE;
        return render_layers(state, base, &layer, count + 1);
    }
    if (check_blocks(state, &layer) < 0)
        return SL_ETEMPLATE;
    state->templ = templ;
    state->layer = &layer;
    return render_nodes(state, templ->nodes);
}

int sl__template_render(sl__rendering *state, const sl__template *templ)
{
    return render_layers(state, templ, NULL, 1);
}

/* ---- Bodies ------------------------------------------------------------------------------------------ */

static int render_node(sl__rendering *state, const sl__node *node)
{
    switch ((sl__template_node_kind)node->kind) {
    case SL__NODE_TEXT:
        sl_buffer_put(state->out, node->text.data, node->text.size);
        return 0;
    case SL__NODE_PRINT:
        return render_print(state, node);
    case SL__NODE_IF:
        return render_if(state, node);
    case SL__NODE_FOR:
        return render_for(state, node);
    case SL__NODE_INCLUDE:
        return render_include(state, node);
    case SL__NODE_BLOCK:
        return render_block(state, node);
    }
    return 0;
}

static int render_nodes(sl__rendering *state, const sl__node *node)
{
    if (node && state->depth >= SL__TEMPLATE_DEPTH)
        return sl__render_wrong(state, node->offset, NULL, "more than %d blocks and files are open here",
                                SL__TEMPLATE_DEPTH);
    state->depth++;
    int got = 0;
    for (; node && got == 0; node = node->next) {
        got = render_node(state, node);
        if (got == 0 && state->out->size > SL__TEMPLATE_OUTPUT)
            got = sl__render_wrong(state, node->offset, NULL, "the page is larger than %d MiB",
                                   SL__TEMPLATE_OUTPUT >> 20);
    }
    state->depth--;
    return got;
}
