/* ours.c: carries out sequences of operations with libsilver, as storm_side.py does with Storm.
 *
 * Reads lines of JSON: {"open": URL, "database": "sqlite" or "postgres"}, then one operation a line, then
 * {"end": true}, again and again. Writes one line for each operation: {"ok": result}, {"error": class} or
 * {"skipped": true}. Each sequence runs in a root of its own, in one task. An operation that fails ends its
 * transaction or savepoint, as anywhere; what was left of it is skipped. */
#include "ours.h"
#include "store/store.h"

#include <stdlib.h>

/* ---- Results ---- */

static void print(json_t *result)
{
    json_dumpf(result, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    putchar('\n');
    fflush(stdout); /* so that it is known where we died, if we do */
    json_decref(result);
}

static void print_ok(json_t *value)
{
    print(json_pack("{s:o}", "ok", value));
}

static const char *class_of_constraint(const char *message)
{
    static const char *const words[][2] = {{"FOREIGN KEY", "foreign"}, {"foreign key", "foreign"},
                                           {"NOT NULL", "required"},   {"not-null", "required"},
                                           {"CHECK", "check"},         {"check constraint", "check"}};
    for (size_t i = 0; i < sl_array_size(words); i++)
        if (strstr(message, words[i][0]))
            return words[i][1];
    return "constraint";
}

static const char *class_of_error(const sl_error *error)
{
    switch (error->code) {
    case SL_EEXIST:
        return "unique";
    case SL_ECONSTRAINT:
        return class_of_constraint(error->message);
    case SL_EINVALID:
        return "required";
    case SL_EMANY:
        return "many";
    case SL_ELOOP:
        return "loop";
    case SL_EDATABASE:
        return "database";
    default:
        return sl_code_name(error->code);
    }
}

/* The operation at hand failed: up to `end` all else is skipped. */
static void print_failure(sequence *s, const sl_error *error, size_t end)
{
    print(json_pack("{s:s,s:s}", "error", class_of_error(error), "text", error->message));
    for (s->at++; s->at <= end; s->at++)
        print(json_pack("{s:b}", "skipped", 1));
}

/* ---- Slots ---- */

bool is_alive(const sl_row *row)
{
    return row && (row->state == SL__ROW_ADDED || row->state == SL__ROW_STORED);
}

sl_row *slot_row(sequence *s, int slot, const char **ret_word)
{
    sl_row *row = s->slots[slot];
    *ret_word = row ? "gone" : "empty";
    if (row && row->state == SL__ROW_STORED) {
        sl_key_part key[SL__KEY_PARTS];
        size_t count = own_key(row->snapshot ? row->snapshot : row, key);
        const sl_row *there = sl__load(SL_HERE, row->model, key, count);
        if (there && there != row)
            die("%s is there twice", row->model->name);
        return there ? row : NULL;
    }
    return is_alive(row) ? row : NULL;
}

void put_slot(sequence *s, const json_t *slot, const sl_row *row)
{
    if (row && slot && !json_is_null(slot)) {
        if (json_integer_value(slot) >= SLOTS)
            die("more than %d slots", SLOTS);
        s->slots[json_integer_value(slot)] = (sl_row *)row;
    }
}

static json_t *same_slot(sequence *s, const sl_row *row)
{
    for (int i = 0; i < SLOTS; i++)
        if (s->slots[i] == row && is_alive(row))
            return json_integer(i);
    return json_null();
}

json_t *seen(sequence *s, const sl_row *row)
{
    if (!row)
        return json_null();
    json_t *json = row_to_json(row, /* lazy= */ false);
    json_object_set_new(json, "same", same_slot(s, row));
    return json;
}

/* ---- Operations and groups ---- */

static const char *name_at(const sequence *s, size_t at)
{
    return word(json_array_get(s->operations, at), "op");
}

static json_t *run_operation(sequence *s)
{
    const json_t *op = json_array_get(s->operations, s->at);
    const char *name = word(op, "op");
    for (const operation *o = writing; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o->run(s, op);
    for (const operation *o = asking; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o->run(s, op);
    die("there is no operation %s", name);
}

/* Up to the end of the group that begins at s->at: leaves s->at there. */
static void *run_group(void *data)
{
    sequence *s = data;
    size_t end = s->ends[s->at];
    print_ok(json_null()); /* it has begun: what was pending before a savepoint is written */
    for (s->at++; s->at < end; s->at++) {
        size_t begin = s->at;
        if (!s->ends[begin]) {
            json_t *result = run_operation(s);
            print_ok(result);
            continue;
        }
        if (strcmp(name_at(s, begin), "nested") == 0) {
            sl_transact(run_group, s);
            print_ok(json_null());
            continue;
        }
        sl_error *error = NULL;
        sl_row *before[SLOTS];
        memcpy(before, s->slots, sizeof before);
        s->undoing = false;
        sl_savepoint(run_group, s, &error);
        if (error)
            memcpy(s->slots, before, sizeof before);
        if (error && !s->undoing)
            print_failure(s, error, s->ends[begin]);
        else
            print_ok(json_null());
        s->undoing = false;
        s->at = s->ends[begin];
    }
    const char *name = name_at(s, end);
    s->undoing = strcmp(name, "undo") == 0 || strcmp(name, "rollback") == 0;
    if (s->undoing)
        sl_fail(SL_EFAILED, "undone");
    return NULL;
}

static void *run_transaction(void *data)
{
    return sl_transact(run_group, data);
}

static void *run_alone(void *data)
{
    json_t *result = run_operation(data);
    print_ok(result);
    return NULL;
}

static void run_next(sequence *s)
{
    size_t end = s->ends[s->at] ? s->ends[s->at] : s->at;
    bool alone = end == s->at;
    sl_error *error = NULL;
    s->undoing = false;
    sl_try(sl_spawn(alone ? run_alone : run_transaction, s), &error);
    if (error && !s->undoing)
        print_failure(s, error, end);
    else if (!alone)
        print_ok(json_null());
    s->at = end + 1;
    memset(s->slots, 0, sizeof s->slots);
}

/* ---- Sequences ---- */

static void find_ends(sequence *s)
{
    static const char *const groups[][3] = {
        {"begin", "commit", "rollback"}, {"savepoint", "release", "undo"}, {"nested", "leave", "leave"}};
    size_t *open = sl_calloc(s->count + 1, sizeof *open), depth = 0;
    s->ends = sl_calloc(s->count + 1, sizeof *s->ends);
    for (size_t i = 0; i < s->count; i++) {
        const char *name = name_at(s, i);
        for (size_t group = 0; group < sl_array_size(groups); group++) {
            if (strcmp(name, groups[group][0]) == 0)
                open[depth++] = i;
            else if (strcmp(name, groups[group][1]) == 0 || strcmp(name, groups[group][2]) == 0)
                s->ends[open[--depth]] = i;
        }
    }
    free(open);
}

/* With --trace, the statements go to the standard error: for looking into one sequence. */
static void show_statement(sl_tracer *tracer, const sl_traced *statement)
{
    sl_buffer out = {0};
    (void)tracer;
    sl__put_parameters(&out, statement->parameters, statement->parameter_count);
    fprintf(stderr, "%s %s -> %lld %s\n", statement->sql, out.data ? out.data : "",
            (long long)statement->rows, statement->error ? statement->error->message : "");
    sl_buffer_done(&out);
}

static void *run_sequence(void *data)
{
    sequence *s = data;
    sl_error *error = NULL;
    if (sl_store_declare(sl_root_current(), "store", s->url, &error) < 0)
        die("%s", error->message);
    sl_tracer tracer = {.after = show_statement};
    if (s->trace)
        sl_tracer_add(sl_root_current(), &tracer);
    while (s->at < s->count)
        SL_SCRATCH()
    run_next(s);
    if (s->trace)
        sl_tracer_remove(sl_root_current(), &tracer);
    return NULL;
}

static json_t *read_line(void)
{
    static char *line;
    static size_t size;
    if (getline(&line, &size, stdin) < 0) {
        free(line);
        return NULL;
    }
    json_error_t error;
    json_t *json = json_loads(line, 0, &error);
    if (!json)
        die("a line that is no JSON: %s", error.text);
    return json;
}

int main(int argc, char **argv)
{
    bool trace = argc > 1 && strcmp(argv[1], "--trace") == 0;
    for (json_t *start; (start = read_line());) {
        sequence s = {.operations = json_array(), .url = word(start, "open"), .trace = trace};
        for (json_t *op; !json_object_get(op = read_line(), "end") || (json_decref(op), false);)
            json_array_append_new(s.operations, op);
        s.count = json_array_size(s.operations);
        find_ends(&s);
        if (sl_run("differential", run_sequence, &s, NULL) < 0)
            return 1;
        free(s.ends);
        json_decref(s.operations);
        json_decref(start);
    }
    return 0;
}
