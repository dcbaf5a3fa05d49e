/* manifest.c: reads app.ini.
 *
 * inih does the parsing; it is fed line by line, so that each complaint knows its line, and lines that it
 * passes over in silence are found by their giving no pair. What a key may hold is said in one table
 * (`keys`), by kind (manifest_values.c); `[slots]` has a rule for all its keys instead. */
#include "run/manifest_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* inih's own limit of a line, less the three bytes that it needs itself. */
#define LINE_MAX_BYTES 196
static const struct key keys[] = {
    {"production", "app_name", KIND_NAME, true, offsetof(struct manifest, app_name), "chat"},
    {"production", "version", KIND_WORD, false, offsetof(struct manifest, version), "1"},
    {"production", "runner", KIND_RUNNER, true, offsetof(struct manifest, runner), "src/chat.c"},
    {"production", "virtualenv", KIND_PATH, false, offsetof(struct manifest, virtualenv), "venv"},
    {"production", "libraries", KIND_LIST, false, offsetof(struct manifest, libraries), "sqlite3 libxml-2.0"},
    {"production", "packages", KIND_LIST, false, offsetof(struct manifest, packages), "libsqlite3-dev"},
    {"production", "plugins", KIND_PLUGINS, false, offsetof(struct manifest, plugins), "search"},
    {"production", "service.sqlite", KIND_SERVICE, false, offsetof(struct manifest, sqlite), ""},
    {"production", "service.files", KIND_SERVICE, false, offsetof(struct manifest, files), ""},
    {"production", "service.postgres", KIND_SERVICE, false, offsetof(struct manifest, postgres), ""},
    {"production", "service.secret", KIND_SERVICE, false, offsetof(struct manifest, secret), ""},
#define LIMIT_KEY(name, value, unit, beyond)                                                                 \
    {"limits", #name, KIND_NUMBER, false, offsetof(struct manifest, limits.name), #value, 1, INT64_MAX},
    SL_HTTP_LIMITS(LIMIT_KEY)
#undef LIMIT_KEY
#define STORE_KEY(name, value, unit, meaning)                                                                \
    {"store", #name, KIND_NUMBER, false, offsetof(struct manifest, store.name), #value, 1, INT32_MAX},
        SL_STORE_OPTIONS(STORE_KEY)
#undef STORE_KEY
#define WORKERS_KEY(name, value, least, most, unit, meaning)                                                 \
    {"workers", #name, KIND_NUMBER, false, offsetof(struct manifest, workers.name), #value, least, most},
            RUN_WORKERS(WORKERS_KEY)
#undef WORKERS_KEY
                {"log", "access", KIND_ACCESS, false, offsetof(struct manifest, access), "combined"},
    {"log", "level", KIND_LEVEL, false, offsetof(struct manifest, level), "info"},
    {"metrics", "listen", KIND_ADDRESS, false, offsetof(struct manifest, metrics), "127.0.0.1:9100"},
};

static const char *const sections[] = {"production", "slots", "limits", "store", "workers", "log", "metrics"};

struct parser {
    struct setting here;
    const char *text, *end;      /* what is left */
    bool expects_pair, got_pair; /* of the line that inih has now */
    bool section_known;
    int section_lines[sl_array_size(sections)]; /* where each first stands */
    int lines[sl_array_size(keys)];             /* where each key was given; 0 is not yet */
    int slot_lines[MANIFEST_SLOTS_MAX];
};
/* ---- Did you mean ------------------------------------------------------------------------------------ */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Remembers `candidate` if it is nearer to `word` than the best so far, and near enough to be meant. */
static void nearer(const char *word, const char *candidate, const char **best, size_t *best_distance)
{
    size_t far = sl_word_distance(word, candidate);
    if (far < *best_distance && far <= 1 + strlen(candidate) / 4) {
        *best = candidate;
        *best_distance = far;
    }
}

static char *key_hint(const char *section, const char *name)
{
    const char *best = NULL, *elsewhere = NULL;
    size_t best_distance = SIZE_MAX;
    sl_buffer all = {0};
    for (size_t i = 0; i < sl_array_size(keys); i++) {
        if (strcmp(keys[i].section, section) != 0) {
            if (strcmp(keys[i].name, name) == 0)
                elsewhere = keys[i].section;
            continue;
        }
        nearer(name, keys[i].name, &best, &best_distance);
        sl_buffer_printf(&all, "%s%s", all.size ? ", " : "", keys[i].name);
    }
    char *hint;
    if (best)
        hint = sl_printf_heap("did you mean `%s`?", best);
    else if (elsewhere)
        hint = sl_printf_heap("`%s` belongs into section [%s]", name, elsewhere);
    else
        hint = sl_printf_heap("[%s] knows: %s", section, all.data);
    sl_buffer_done(&all);
    return hint;
}

static char *section_hint(const char *name)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < sl_array_size(sections); i++)
        nearer(name, sections[i], &best, &best_distance);
    if (best)
        return sl_printf_heap("did you mean [%s]?", best);
    return sl_strdup_heap("sections are [production], [slots], [limits], [store], [workers], [log] and "
                          "[metrics]");
}

/* ---- Slots ------------------------------------------------------------------------------------------- */

/* N = ADDRESS [LOG DIRECTORY] */
static void set_slot(struct parser *parser, const char *name, const char *value)
{
    struct manifest *manifest = parser->here.manifest;
    uint64_t number;
    const char *port;
    if (sl_view_number(sl_view_of(name), MANIFEST_SLOTS_MAX - 1, &number) < 0) {
        COMPLAIN(&parser->here, RUN_MANIFEST_KEY, "slot `%s` is not a number from 0 to %d", name,
                 MANIFEST_SLOTS_MAX - 1)
            ->hint = sl_strdup_heap("slots are numbered: `0 = 127.0.0.1:8080`");
        return;
    }
    if (parser->slot_lines[number]) {
        COMPLAIN(&parser->here, RUN_MANIFEST_DUPLICATE, "slot %d is given twice; first in line %d",
                 (int)number, parser->slot_lines[number])
            ->hint = sl_strdup_heap("give each slot a number of its own");
        return;
    }
    parser->slot_lines[number] = parser->here.line;
    size_t size = strcspn(value, " \t");
    char *address = sl_arena_strndup(manifest->arena, value, size);
    const char *directory = value + size + strspn(value + size, " \t");
    if (address_check(address, &port) < 0) {
        COMPLAIN(&parser->here, RUN_MANIFEST_VALUE, "slot %d has the address `%s`, which is not one",
                 (int)number, address)
            ->hint = sl_strdup_heap("write IPv4:PORT, [IPv6]:PORT, :PORT (all addresses) or unix:/PATH, then "
                                    "perhaps a log directory; names are not looked up");
        return;
    }
    for (size_t i = 0; i < manifest->slot_count; i++)
        if (strcmp(manifest->slots[i].address, address) == 0)
            COMPLAIN(&parser->here, RUN_MANIFEST_DUPLICATE, "slot %d has the address of slot %d", (int)number,
                     manifest->slots[i].number)
                ->hint = sl_strdup_heap("give each slot an address of its own");
    struct manifest_slot *slot = &manifest->slots[manifest->slot_count++];
    slot->number = (int)number;
    slot->address = address;
    if (*directory == '/')
        slot->directory = sl_arena_strdup(manifest->arena, directory);
    else if (*directory)
        slot->directory = sl_arena_printf(manifest->arena, "%s/%s", manifest->directory, directory);
    else
        slot->directory = sl_arena_printf(manifest->arena, "%s/log%d", manifest->directory, (int)number);
}

/* ---- Lines ------------------------------------------------------------------------------------------- */

static int pair(void *user, const char *section, const char *name, const char *value)
{
    struct parser *parser = user;
    if (parser->got_pair || !name)
        return 1;
    parser->got_pair = true;
    if (!*section) {
        COMPLAIN(&parser->here, RUN_MANIFEST_OUTSIDE, "`%s` stands before the first section", name)->hint =
            sl_strdup_heap("begin the file with [production]");
        return 1;
    }
    if (!parser->section_known) /* told already, for the section */
        return 1;
    if (strcmp(section, "slots") == 0) {
        set_slot(parser, name, value);
        return 1;
    }
    if (strcmp(section, "production") == 0 && strncmp(name, SQLITE_PREFIX, sizeof(SQLITE_PREFIX) - 1) == 0) {
        manifest_add_sqlite(&parser->here, name + sizeof(SQLITE_PREFIX) - 1, value);
        return 1;
    }
    for (size_t i = 0; i < sl_array_size(keys); i++) {
        if (strcmp(keys[i].section, section) != 0 || strcmp(keys[i].name, name) != 0)
            continue;
        if (parser->lines[i]) {
            COMPLAIN(&parser->here, RUN_MANIFEST_DUPLICATE, "%s is given twice; first in line %d", name,
                     parser->lines[i])
                ->hint = sl_strdup_heap("keep one of them");
            return 1;
        }
        parser->lines[i] = parser->here.line;
        manifest_set(&parser->here, &keys[i], value);
        return 1;
    }
    COMPLAIN(&parser->here, RUN_MANIFEST_KEY, "[%s] has no key `%s`", section, name)->hint =
        key_hint(section, name);
    return 1;
}

/* After inih had a line: one that should have given a pair and did not is told. */
static void finish_line(struct parser *parser)
{
    if (parser->expects_pair && !parser->got_pair)
        COMPLAIN(&parser->here, RUN_MANIFEST_SYNTAX, "this line is neither a section nor `key = value`")
            ->hint = sl_strdup_heap("comments begin with ; or #");
    parser->expects_pair = parser->got_pair = false;
}

static void begin_section(struct parser *parser, sl_view line)
{
    const char *close = memchr(line.data, ']', line.size);
    parser->section_known = false;
    if (!close) {
        COMPLAIN(&parser->here, RUN_MANIFEST_SYNTAX, "a section is not closed with `]`");
        return;
    }
    sl_view rest = {close + 1, (size_t)(line.data + line.size - close - 1)};
    rest = sl_view_trim(rest, " \t");
    if (rest.size && rest.data[0] != ';' && rest.data[0] != '#')
        COMPLAIN(&parser->here, RUN_MANIFEST_SYNTAX, "after the section stands `%.*s`", (int)rest.size,
                 rest.data)
            ->hint = sl_strdup_heap("write it into a line of its own");
    char name[64] = "";
    size_t size = (size_t)(close - line.data) - 1;
    memcpy(name, line.data + 1, least(size, sizeof(name) - 1));
    for (size_t i = 0; i < sl_array_size(sections); i++) {
        if (strcmp(sections[i], name) == 0) {
            parser->section_known = true;
            if (!parser->section_lines[i])
                parser->section_lines[i] = parser->here.line;
            return;
        }
    }
    COMPLAIN(&parser->here, RUN_MANIFEST_SECTION, "there is no section [%s]", name)->hint =
        section_hint(name);
}

/* inih's reader: the next line, blanks at its ends taken off so that each line stands for itself. */
static char *next_line(char *out, int size, void *stream)
{
    struct parser *parser = stream;
    finish_line(parser);
    if (parser->text == parser->end)
        return NULL;
    const char *newline = memchr(parser->text, '\n', (size_t)(parser->end - parser->text));
    const char *after = newline ? newline + 1 : parser->end;
    sl_view line = sl_view_trim((sl_view){parser->text, (size_t)(after - parser->text)}, " \t\r\n");
    if (parser->here.line == 0 && line.size >= 3 && memcmp(line.data, "\xEF\xBB\xBF", 3) == 0)
        line = sl_view_trim((sl_view){line.data + 3, line.size - 3}, " \t");
    parser->text = after;
    parser->here.line++;
    if (line.size > LINE_MAX_BYTES || line.size + 3 > (size_t)size) {
        COMPLAIN(&parser->here, RUN_MANIFEST_TOO_LONG, "this line has %zu bytes; %d is the most", line.size,
                 LINE_MAX_BYTES);
        line.size = 0;
    } else if (memchr(line.data, '\0', line.size) || !sl_utf8_valid(line.data, line.size)) {
        COMPLAIN(&parser->here, RUN_MANIFEST_SYNTAX, "this line is not UTF-8 text");
        line.size = 0;
    } else if (line.size && line.data[0] == '[') {
        begin_section(parser, line);
        if (!memchr(line.data, ']', line.size))
            line.size = 0;
    } else if (line.size && line.data[0] != ';' && line.data[0] != '#') {
        parser->expects_pair = true;
    }
    memcpy(out, line.data, line.size);
    memcpy(out + line.size, "\n", 2);
    return out;
}

static void check_missing(struct parser *parser)
{
    for (size_t i = 0; i < sl_array_size(keys); i++) {
        if (!keys[i].required || parser->lines[i])
            continue;
        parser->here.line = 1;
        for (size_t j = 0; j < sl_array_size(sections); j++)
            if (strcmp(sections[j], keys[i].section) == 0 && parser->section_lines[j])
                parser->here.line = parser->section_lines[j];
        COMPLAIN(&parser->here, RUN_MANIFEST_MISSING, "[%s] has no %s", keys[i].section, keys[i].name)->hint =
            sl_printf_heap("add a line like `%s = %s`", keys[i].name, keys[i].example);
    }
}

/* A named database lies beside that of the application, which is called as that is. */
static void check_files(struct parser *parser)
{
    const struct manifest *manifest = parser->here.manifest;
    for (size_t i = 0; i < manifest->sqlites.count && manifest->sqlite && manifest->app_name; i++) {
        if (strcmp(manifest->sqlites.items[i], manifest->app_name) != 0)
            continue;
        parser->here.line = manifest->sqlite_lines[i];
        COMPLAIN(&parser->here, RUN_MANIFEST_DUPLICATE, "%s%s would be the file of service.sqlite",
                 SQLITE_PREFIX, manifest->app_name)
            ->hint = sl_strdup_heap("call it otherwise than the application");
    }
}

int manifest_parse(const char *text, size_t size, const char *directory, const char *path,
                   struct complaints *complaints, struct manifest **ret_manifest)
{
    size_t before = complaints->count;
    sl_arena *arena = sl_arena_new();
    struct manifest *manifest = sl_arena_zalloc(arena, sizeof(*manifest));
    manifest->arena = arena;
    manifest->directory = sl_arena_strdup(arena, directory);
    manifest->path = sl_arena_strdup(arena, path);
    manifest->version = sl_arena_strdup(arena, "1");
    manifest->level = SL_INFO;
    manifest->limits = (sl_http_limits){
#define LIMIT_DEFAULT(name, value, unit, beyond) .name = value,
        SL_HTTP_LIMITS(LIMIT_DEFAULT)
#undef LIMIT_DEFAULT
    };
    manifest->workers = (struct manifest_workers){
#define WORKERS_DEFAULT(name, value, least, most, unit, meaning) .name = value,
        RUN_WORKERS(WORKERS_DEFAULT)
#undef WORKERS_DEFAULT
    };
    struct parser parser = {
        .here = {.manifest = manifest, .complaints = complaints}, .text = text, .end = text + size};
    if (size > MANIFEST_SIZE_MAX) {
        complaints_add(complaints, RUN_MANIFEST_TOO_LONG, path, 0, "the manifest has more than %d bytes",
                       MANIFEST_SIZE_MAX);
    } else {
        ini_parse_stream(next_line, &parser, pair, &parser);
        finish_line(&parser);
        check_missing(&parser);
        check_files(&parser);
    }
    if (complaints->count > before) {
        manifest_free(manifest);
        return SL_ECONFIG;
    }
    if (manifest->slot_count == 0) {
        manifest->slots[manifest->slot_count++] = (struct manifest_slot){
            .address = sl_arena_strdup(arena, "127.0.0.1:8080"),
            .directory = sl_arena_printf(arena, "%s/log0", directory),
        };
    }
    *ret_manifest = manifest;
    return 0;
}

struct manifest *manifest_free(struct manifest *manifest)
{
    if (manifest)
        sl_arena_free(manifest->arena);
    return NULL;
}

static int read_text(const char *path, sl_buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat status;
    bool directory = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    int code = directory ? -EISDIR : sl_buffer_read(out, fd, MANIFEST_SIZE_MAX);
    close(fd);
    return code == SL_E2BIG ? 0 : code; /* the parser complains */
}

static void no_directory(const char *path, struct complaints *complaints)
{
    struct stat status;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int code = stat(path, &status) < 0 ? -errno : 0;
    const char *what = code == 0           ? "is a file, and not a directory"
                       : code == SL_ENOENT ? "there is no such directory"
                                           : strerror(-code);
    struct complaint *complaint = complaints_add(complaints, RUN_LAYOUT_DIRECTORY, path, 0, "%s", what);
    if (code == SL_ENOENT)
        complaint->hint = sl_printf_heap("make an application with `silver init %s`", path);
    else if (code == 0 && strcmp(name, "app.ini") == 0)
        complaint->hint = sl_printf_heap("name the directory that it is in: %.*s",
                                         slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    else
        complaint->hint = sl_strdup_heap("name the application's directory, the one with app.ini in it");
}

static char *unreadable_hint(int code)
{
    if (code == -EISDIR)
        return sl_strdup_heap("app.ini is a file; `silver init DIR` makes one to begin with");
    if (code == SL_ENOENT)
        return sl_strdup_heap(
            "write one, which says at least [production], `app_name = wiki` and "
            "`runner = src/runner.py`; or lay out a new application with `silver init DIR`");
    if (code == SL_EACCES)
        return sl_strdup_heap("let this user read it: `chmod u+r app.ini`");
    return NULL;
}

int manifest_load(const char *directory, struct complaints *complaints, struct manifest **ret_manifest)
{
    char absolute[PATH_MAX];
    struct stat status;
    if (!realpath(directory, absolute) || stat(absolute, &status) < 0 || !S_ISDIR(status.st_mode)) {
        no_directory(directory, complaints);
        return SL_ECONFIG;
    }
    bool here = strcmp(directory, ".") == 0;
    sl_buffer path = {0}, text = {0};
    sl_buffer_printf(&path, "%s%sapp.ini", here ? "" : directory,
                     here || directory[strlen(directory) - 1] == '/' ? "" : "/");
    int code = read_text(path.data, &text);
    if (code < 0) {
        complaints_add(complaints, RUN_MANIFEST_UNREADABLE, path.data, 0, "cannot be read: %s",
                       strerror(-code))
            ->hint = unreadable_hint(code);
        code = SL_ECONFIG;
    } else {
        code = manifest_parse(text.data ? text.data : "", text.size, absolute, path.data, complaints,
                              ret_manifest);
    }
    sl_buffer_done(&text);
    sl_buffer_done(&path);
    return code;
}
