/* manifest.c: reads app.ini.
 *
 * inih does the parsing; it is fed line by line, so that each complaint knows its line, and lines that it
 * passes over in silence are found by their giving no pair. What a key may hold is said in one table
 * (`keys`), by kind; `[slots]` and
 * `[limits]` have a rule for all their keys instead. */
#include "run/manifest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* inih's own limit of a line, less the three bytes that it needs itself. */
#define LINE_MAX_BYTES 196

enum kind {
    KIND_NAME,    /* lower case letters, digits, - and _ */
    KIND_WORD,    /* some text without spaces */
    KIND_RUNNER,  /* src/NAME.c, src/NAME.py or src/NAME.py#OBJECT */
    KIND_PATH,    /* of a file or directory, relative to the application or not */
    KIND_LIST,    /* words between spaces or commas */
    KIND_PLUGINS, /* likewise, each a file's name */
    KIND_SERVICE, /* nothing: to be there is all */
    KIND_ACCESS,
    KIND_LEVEL,
    KIND_ADDRESS,
    KIND_NUMBER, /* from `least` to `most` */
};

struct key {
    const char *section, *name;
    enum kind kind;
    bool required;
    size_t offset;
    const char *example;
    uint64_t least, most;
};

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
#define WORKERS_KEY(name, value, least, most, unit, meaning)                                                 \
    {"workers", #name, KIND_NUMBER, false, offsetof(struct manifest, workers.name), #value, least, most},
        RUN_WORKERS(WORKERS_KEY)
#undef WORKERS_KEY
            {"log", "access", KIND_ACCESS, false, offsetof(struct manifest, access), "combined"},
    {"log", "level", KIND_LEVEL, false, offsetof(struct manifest, level), "info"},
    {"metrics", "listen", KIND_ADDRESS, false, offsetof(struct manifest, metrics), "127.0.0.1:9100"},
};

static const char *const sections[] = {"production", "slots", "limits", "workers", "log", "metrics"};

/* A choice's position in its list is its value. */
static const char *const access_words[] = {
    [MANIFEST_ACCESS_OFF] = "off", [MANIFEST_ACCESS_COMBINED] = "combined", [MANIFEST_ACCESS_JSON] = "json"};
static const char *const level_words[] = {
    [SL_DEBUG] = "debug", [SL_INFO] = "info", [SL_WARNING] = "warning", [SL_ERROR] = "error"};

struct parser {
    struct manifest *manifest;
    struct complaints *complaints;
    const char *text, *end; /* what is left */
    int line;
    bool expects_pair, got_pair; /* of the line that inih has now */
    bool section_known;
    int section_lines[sl_array_size(sections)]; /* where each first stands */
    int lines[sl_array_size(keys)];             /* where each key was given; 0 is not yet */
    int slot_lines[MANIFEST_SLOTS_MAX];
};

#define COMPLAIN(parser, kind, ...)                                                                          \
    complaints_add((parser)->complaints, (kind), (parser)->manifest->path, (parser)->line, __VA_ARGS__)

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
    return sl_strdup_heap("sections are [production], [slots], [limits], [workers], [log] and [metrics]");
}

/* ---- Values ------------------------------------------------------------------------------------------ */

/* Whether sl_listen would know the host: an IP address, in brackets if it is of version 6, localhost, or
 * nothing for all addresses. */
static bool host_ok(const char *host, size_t size)
{
    char name[64];
    unsigned char address[sizeof(struct in6_addr)];
    bool bracketed = size > 2 && host[0] == '[' && host[size - 1] == ']';
    if (size >= sizeof(name))
        return false;
    snprintf(name, sizeof(name), "%.*s", (int)(bracketed ? size - 2 : size), bracketed ? host + 1 : host);
    return bracketed ? inet_pton(AF_INET6, name, address) == 1
                     : !*name || strcmp(name, "localhost") == 0 || inet_pton(AF_INET, name, address) == 1;
}

int address_check(const char *address, const char **ret_port)
{
    if (strncmp(address, "unix:", 5) == 0) {
        if (address[5] != '/' || strlen(address + 5) >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return SL_EINVAL;
        *ret_port = NULL;
        return 0;
    }
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (!colon || sl_view_number(sl_view_of(colon + 1), 65535, &port) < 0 ||
        !host_ok(address, (size_t)(colon - address)))
        return SL_EINVAL;
    *ret_port = colon + 1;
    return 0;
}

char *address_offset(const char *address, unsigned offset)
{
    const char *port;
    uint64_t number;
    if (address_check(address, &port) < 0)
        return NULL;
    if (!port)
        return offset == 0 ? sl_strdup_heap(address) : sl_printf_heap("%s.%u", address, offset);
    if (sl_view_number(sl_view_of(port), 65535, &number) < 0 || number + offset > 65535)
        return NULL;
    if (number == 0)
        offset = 0; /* any port stays any port */
    return sl_printf_heap("%.*s%u", (int)(port - address), address, (unsigned)number + offset);
}

static bool name_ok(const char *value)
{
    size_t size = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    return size > 0 && size <= 32 && value[size] == '\0' && value[0] >= 'a' && value[0] <= 'z';
}

/* A file of this kind in a directory of the application: "src/chat.c". */
static bool source_ok(const char *value, size_t size, const char *suffix)
{
    size_t suffix_size = strlen(suffix);
    return size > suffix_size && memcmp(value + size - suffix_size, suffix, suffix_size) == 0 &&
           value[0] != '/' && !strstr(value, "..") && memchr(value, '/', size) && !strpbrk(value, " \t") &&
           value[size - suffix_size - 1] != '/';
}

/* Python's names, as far as ASCII goes. */
static bool object_ok(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return size > 0 && size <= 64 && name[size] == '\0' && !(name[0] >= '0' && name[0] <= '9');
}

/* Whether a word can be given to pkg-config or apt without being an option or worse. */
static bool word_ok(const char *word, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._:";
    return size > 0 && size <= 64 && strspn(word, allowed) >= size && word[0] != '-';
}

static bool plugin_name_ok(const char *word)
{
    size_t size = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return size > 0 && size <= 32 && word[size] == '\0' && word[0] != '-' &&
           !(word[0] >= '0' && word[0] <= '9');
}

static void set_list(struct parser *parser, const struct key *key, const char *value)
{
    struct manifest_list *list = (struct manifest_list *)((char *)parser->manifest + key->offset);
    for (const char *p = value; *(p += strspn(p, " \t,"));) {
        size_t size = strcspn(p, " \t,");
        if (!word_ok(p, size)) {
            COMPLAIN(parser, RUN_MANIFEST_VALUE, "`%.*s` is not a name that %s can hold", (int)size, p,
                     key->name)
                ->hint = sl_printf_heap("write names with spaces between them, as in `%s = %s`", key->name,
                                        key->example);
        } else if (list->count == MANIFEST_LIST_MAX) {
            COMPLAIN(parser, RUN_MANIFEST_VALUE, "%s holds more than %d names", key->name, MANIFEST_LIST_MAX);
            return;
        } else {
            list->items[list->count++] = sl_arena_strndup(parser->manifest->arena, p, size);
        }
        p += size;
    }
}

/* The names of plug-ins name files, and each once. */
static void check_plugins(struct parser *parser, const struct manifest_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!plugin_name_ok(list->items[i]))
            COMPLAIN(parser, RUN_MANIFEST_VALUE, "`%s` is not the name of a plug-in", list->items[i])->hint =
                sl_printf_heap(
                    "write the name alone, at most 32 letters, digits, - and _: `plugins = search` is "
                    "%s/search/, %s/search.c or %s/search.py",
                    PLUGINS_FOLDER, PLUGINS_FOLDER, PLUGINS_FOLDER);
        for (size_t j = 0; j < i; j++)
            if (strcmp(list->items[i], list->items[j]) == 0)
                COMPLAIN(parser, RUN_MANIFEST_DUPLICATE, "the plug-in %s is named twice", list->items[i])
                    ->hint = sl_strdup_heap("keep one of them");
    }
}

static void wrong_value(struct parser *parser, const struct key *key, const char *value, const char *wanted)
{
    COMPLAIN(parser, RUN_MANIFEST_VALUE, "%s is `%s`, which is not %s", key->name, value, wanted)->hint =
        sl_printf_heap("write for instance `%s = %s`", key->name, key->example);
}

/* The position of a word in a list of choices; -1 if it is none of them. */
static int choice(const char *value, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (words[i] && strcmp(words[i], value) == 0)
            return (int)i;
    return -1;
}

static void set_string(struct parser *parser, const struct key *key, const char *value, bool ok,
                       const char *wanted)
{
    if (!ok)
        wrong_value(parser, key, value, wanted);
    else
        *(char **)((char *)parser->manifest + key->offset) = sl_arena_strdup(parser->manifest->arena, value);
}

static void set_runner(struct parser *parser, const struct key *key, const char *value)
{
    struct manifest *manifest = parser->manifest;
    size_t size = strcspn(value, "#");
    manifest->runner_line = parser->line;
    manifest->python = source_ok(value, size, ".py");
    if (!manifest->python && !(source_ok(value, size, ".c") && !value[size]))
        wrong_value(parser, key, value, "a C or Python file in a directory of the application");
    else if (value[size] && !object_ok(value + size + 1))
        COMPLAIN(parser, RUN_MANIFEST_VALUE, "runner is `%s`, and `%s` is not a name in Python", value,
                 value + size + 1)
            ->hint = sl_strdup_heap("after the # stands the name of the WSGI or ASGI callable in the file; "
                                    "without it that is `application`");
    manifest->runner = sl_arena_strndup(manifest->arena, value, size);
    manifest->object = sl_arena_strdup(manifest->arena, value[size] ? value + size + 1 : "application");
}

static void set_number(struct parser *parser, const struct key *key, const char *value)
{
    uint64_t number;
    if (sl_view_number(sl_view_of(value), key->most, &number) == 0 && number >= key->least) {
        *(uint64_t *)((char *)parser->manifest + key->offset) = number;
        return;
    }
    char wanted[96];
    if (key->most >= INT32_MAX)
        snprintf(wanted, sizeof(wanted), "a whole number from %llu", (unsigned long long)key->least);
    else
        snprintf(wanted, sizeof(wanted), "a whole number from %llu to %llu", (unsigned long long)key->least,
                 (unsigned long long)key->most);
    wrong_value(parser, key, value, wanted);
}

static void set_value(struct parser *parser, const struct key *key, const char *value)
{
    char *place = (char *)parser->manifest + key->offset;
    const char *port;
    int number;
    switch (key->kind) {
    case KIND_NAME:
        set_string(parser, key, value, name_ok(value),
                   "a name of at most 32 lower case letters, digits, - and _, beginning with a letter");
        break;
    case KIND_WORD:
        set_string(parser, key, value, word_ok(value, strlen(value)),
                   "one word of letters, digits and +-._:");
        break;
    case KIND_RUNNER:
        set_runner(parser, key, value);
        break;
    case KIND_PATH:
        set_string(parser, key, value, *value != '\0', "a path");
        break;
    case KIND_ADDRESS:
        set_string(parser, key, value, address_check(value, &port) == 0, "an address");
        break;
    case KIND_LIST:
        if (key->offset == offsetof(struct manifest, libraries))
            parser->manifest->libraries_line = parser->line;
        set_list(parser, key, value);
        break;
    case KIND_PLUGINS:
        parser->manifest->plugins_line = parser->line;
        set_list(parser, key, value);
        check_plugins(parser, &parser->manifest->plugins);
        break;
    case KIND_SERVICE:
        if (*value)
            COMPLAIN(parser, RUN_MANIFEST_VALUE, "%s has the value `%s`", key->name, value)->hint =
                sl_printf_heap("write `%s =`: it takes none", key->name);
        *(bool *)place = true;
        break;
    case KIND_ACCESS:
        number = choice(value, access_words, sl_array_size(access_words));
        if (number < 0)
            wrong_value(parser, key, value, "combined, json or off");
        else
            *(enum manifest_access *)place = (enum manifest_access)number;
        break;
    case KIND_LEVEL:
        number = choice(value, level_words, sl_array_size(level_words));
        if (number < 0)
            wrong_value(parser, key, value, "debug, info, warning or error");
        else
            *(sl_level *)place = (sl_level)number;
        break;
    case KIND_NUMBER:
        set_number(parser, key, value);
        break;
    }
}

/* N = ADDRESS [LOG DIRECTORY] */
static void set_slot(struct parser *parser, const char *name, const char *value)
{
    struct manifest *manifest = parser->manifest;
    uint64_t number;
    const char *port;
    if (sl_view_number(sl_view_of(name), MANIFEST_SLOTS_MAX - 1, &number) < 0) {
        COMPLAIN(parser, RUN_MANIFEST_KEY, "slot `%s` is not a number from 0 to %d", name,
                 MANIFEST_SLOTS_MAX - 1)
            ->hint = sl_strdup_heap("slots are numbered: `0 = 127.0.0.1:8080`");
        return;
    }
    if (parser->slot_lines[number]) {
        COMPLAIN(parser, RUN_MANIFEST_DUPLICATE, "slot %d is given twice; first in line %d", (int)number,
                 parser->slot_lines[number])
            ->hint = sl_strdup_heap("give each slot a number of its own");
        return;
    }
    parser->slot_lines[number] = parser->line;
    size_t size = strcspn(value, " \t");
    char *address = sl_arena_strndup(manifest->arena, value, size);
    const char *directory = value + size + strspn(value + size, " \t");
    if (address_check(address, &port) < 0) {
        COMPLAIN(parser, RUN_MANIFEST_VALUE, "slot %d has the address `%s`, which is not one", (int)number,
                 address)
            ->hint = sl_strdup_heap("write IPv4:PORT, [IPv6]:PORT, :PORT (all addresses) or unix:/PATH, then "
                                    "perhaps a log directory; names are not looked up");
        return;
    }
    for (size_t i = 0; i < manifest->slot_count; i++)
        if (strcmp(manifest->slots[i].address, address) == 0)
            COMPLAIN(parser, RUN_MANIFEST_DUPLICATE, "slot %d has the address of slot %d", (int)number,
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
        COMPLAIN(parser, RUN_MANIFEST_OUTSIDE, "`%s` stands before the first section", name)->hint =
            sl_strdup_heap("begin the file with [production]");
        return 1;
    }
    if (!parser->section_known) /* told already, for the section */
        return 1;
    if (strcmp(section, "slots") == 0) {
        set_slot(parser, name, value);
        return 1;
    }
    for (size_t i = 0; i < sl_array_size(keys); i++) {
        if (strcmp(keys[i].section, section) != 0 || strcmp(keys[i].name, name) != 0)
            continue;
        if (parser->lines[i]) {
            COMPLAIN(parser, RUN_MANIFEST_DUPLICATE, "%s is given twice; first in line %d", name,
                     parser->lines[i])
                ->hint = sl_strdup_heap("keep one of them");
            return 1;
        }
        parser->lines[i] = parser->line;
        set_value(parser, &keys[i], value);
        return 1;
    }
    COMPLAIN(parser, RUN_MANIFEST_KEY, "[%s] has no key `%s`", section, name)->hint = key_hint(section, name);
    return 1;
}

/* After inih had a line: one that should have given a pair and did not is told. */
static void finish_line(struct parser *parser)
{
    if (parser->expects_pair && !parser->got_pair)
        COMPLAIN(parser, RUN_MANIFEST_SYNTAX, "this line is neither a section nor `key = value`")->hint =
            sl_strdup_heap("comments begin with ; or #");
    parser->expects_pair = parser->got_pair = false;
}

static void begin_section(struct parser *parser, sl_view line)
{
    const char *close = memchr(line.data, ']', line.size);
    parser->section_known = false;
    if (!close) {
        COMPLAIN(parser, RUN_MANIFEST_SYNTAX, "a section is not closed with `]`");
        return;
    }
    sl_view rest = {close + 1, (size_t)(line.data + line.size - close - 1)};
    rest = sl_view_trim(rest, " \t");
    if (rest.size && rest.data[0] != ';' && rest.data[0] != '#')
        COMPLAIN(parser, RUN_MANIFEST_SYNTAX, "after the section stands `%.*s`", (int)rest.size, rest.data)
            ->hint = sl_strdup_heap("write it into a line of its own");
    char name[64] = "";
    size_t size = (size_t)(close - line.data) - 1;
    memcpy(name, line.data + 1, least(size, sizeof(name) - 1));
    for (size_t i = 0; i < sl_array_size(sections); i++) {
        if (strcmp(sections[i], name) == 0) {
            parser->section_known = true;
            if (!parser->section_lines[i])
                parser->section_lines[i] = parser->line;
            return;
        }
    }
    COMPLAIN(parser, RUN_MANIFEST_SECTION, "there is no section [%s]", name)->hint = section_hint(name);
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
    if (parser->line == 0 && line.size >= 3 && memcmp(line.data, "\xEF\xBB\xBF", 3) == 0)
        line = sl_view_trim((sl_view){line.data + 3, line.size - 3}, " \t");
    parser->text = after;
    parser->line++;
    if (line.size > LINE_MAX_BYTES || line.size + 3 > (size_t)size) {
        COMPLAIN(parser, RUN_MANIFEST_TOO_LONG, "this line has %zu bytes; %d is the most", line.size,
                 LINE_MAX_BYTES);
        line.size = 0;
    } else if (memchr(line.data, '\0', line.size) || !sl_utf8_valid(line.data, line.size)) {
        COMPLAIN(parser, RUN_MANIFEST_SYNTAX, "this line is not UTF-8 text");
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
        parser->line = 1;
        for (size_t j = 0; j < sl_array_size(sections); j++)
            if (strcmp(sections[j], keys[i].section) == 0 && parser->section_lines[j])
                parser->line = parser->section_lines[j];
        COMPLAIN(parser, RUN_MANIFEST_MISSING, "[%s] has no %s", keys[i].section, keys[i].name)->hint =
            sl_printf_heap("add a line like `%s = %s`", keys[i].name, keys[i].example);
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
    struct parser parser = {.manifest = manifest, .complaints = complaints, .text = text, .end = text + size};
    if (size > MANIFEST_SIZE_MAX) {
        complaints_add(complaints, RUN_MANIFEST_TOO_LONG, path, 0, "the manifest has more than %d bytes",
                       MANIFEST_SIZE_MAX);
    } else {
        ini_parse_stream(next_line, &parser, pair, &parser);
        finish_line(&parser);
        check_missing(&parser);
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
        return sl_strdup_heap("an application is a directory with an app.ini; `silver init DIR` makes one");
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
