/* manifest_values.c: what may stand behind a key of app.ini, by its kind. */
#include "run/manifest_inside.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

/* A choice's position in its list is its value. */
static const char *const access_words[] = {
    [MANIFEST_ACCESS_OFF] = "off", [MANIFEST_ACCESS_COMBINED] = "combined", [MANIFEST_ACCESS_JSON] = "json"};
static const char *const level_words[] = {
    [SL_DEBUG] = "debug", [SL_INFO] = "info", [SL_WARNING] = "warning", [SL_ERROR] = "error"};

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

static void set_list(struct setting *setting, const struct key *key, const char *value)
{
    struct manifest_list *list = (struct manifest_list *)((char *)setting->manifest + key->offset);
    for (const char *p = value; *(p += strspn(p, " \t,"));) {
        size_t size = strcspn(p, " \t,");
        if (!word_ok(p, size)) {
            COMPLAIN(setting, RUN_MANIFEST_VALUE, "`%.*s` is not a name that %s can hold", (int)size, p,
                     key->name)
                ->hint = sl_printf_heap("write names with spaces between them, as in `%s = %s`", key->name,
                                        key->example);
        } else if (list->count == MANIFEST_LIST_MAX) {
            COMPLAIN(setting, RUN_MANIFEST_VALUE, "%s holds more than %d names", key->name,
                     MANIFEST_LIST_MAX);
            return;
        } else {
            list->items[list->count++] = sl_arena_strndup(setting->manifest->arena, p, size);
        }
        p += size;
    }
}

/* The names of plug-ins name files, and each once. */
static void check_plugins(struct setting *setting, const struct manifest_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!plugin_name_ok(list->items[i]))
            COMPLAIN(setting, RUN_MANIFEST_VALUE, "`%s` is not the name of a plug-in", list->items[i])->hint =
                sl_printf_heap(
                    "write the name alone, at most 32 letters, digits, - and _: `plugins = search` is "
                    "%s/search/, %s/search.c or %s/search.py",
                    PLUGINS_FOLDER, PLUGINS_FOLDER, PLUGINS_FOLDER);
        for (size_t j = 0; j < i; j++)
            if (strcmp(list->items[i], list->items[j]) == 0)
                COMPLAIN(setting, RUN_MANIFEST_DUPLICATE, "the plug-in %s is named twice", list->items[i])
                    ->hint = sl_strdup_heap("keep one of them");
    }
}

void manifest_add_sqlite(struct setting *setting, const char *name, const char *value)
{
    static const char *const taken[] = {"sqlite", "postgres"};
    struct manifest *manifest = setting->manifest;
    struct manifest_list *list = &manifest->sqlites;
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    bool ok = size > 0 && size <= 32 && !name[size] && name[0] >= 'a' && name[0] <= 'z';
    for (size_t i = 0; i < sl_array_size(taken); i++)
        ok &= strcmp(name, taken[i]) != 0;
    if (!ok) {
        COMPLAIN(setting, RUN_MANIFEST_KEY, "`%s` cannot be the name of a database", name)->hint =
            sl_strdup_heap(
                "at most 32 of a-z, 0-9 and -, a letter first; sqlite and postgres are names of others");
        return;
    }
    if (*value)
        COMPLAIN(setting, RUN_MANIFEST_VALUE, "%s%s has the value `%s`", SQLITE_PREFIX, name, value)->hint =
            sl_printf_heap("write `%s%s =`: it takes none", SQLITE_PREFIX, name);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0) {
            COMPLAIN(setting, RUN_MANIFEST_DUPLICATE, "%s%s is given twice; first in line %d", SQLITE_PREFIX,
                     name, manifest->sqlite_lines[i])
                ->hint = sl_strdup_heap("keep one of them");
            return;
        }
    if (list->count == MANIFEST_LIST_MAX) {
        COMPLAIN(setting, RUN_MANIFEST_VALUE, "there are more than %d databases", MANIFEST_LIST_MAX);
        return;
    }
    manifest->sqlite_lines[list->count] = setting->line;
    list->items[list->count++] = sl_arena_strdup(manifest->arena, name);
}

static void wrong_value(struct setting *setting, const struct key *key, const char *value, const char *wanted)
{
    COMPLAIN(setting, RUN_MANIFEST_VALUE, "%s is `%s`, which is not %s", key->name, value, wanted)->hint =
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

static void set_string(struct setting *setting, const struct key *key, const char *value, bool ok,
                       const char *wanted)
{
    if (!ok)
        wrong_value(setting, key, value, wanted);
    else
        *(char **)((char *)setting->manifest + key->offset) =
            sl_arena_strdup(setting->manifest->arena, value);
}

/* What others' files of this kind would say, and what stands at the top of many applications. */
static char *runner_hint(const char *value)
{
    const char *colon = strchr(value, ':');
    if (colon && colon - value > 3 && memcmp(colon - 3, ".py", 3) == 0)
        return sl_printf_heap("a # stands between the file and the name in it: `runner = %.*s#%s`",
                              (int)(colon - value), value, colon + 1);
    if (*value && !colon && !strchr(value, '/'))
        return sl_printf_heap("move it into a directory, with what it imports: `runner = src/%s`", value);
    return sl_strdup_heap("write for instance `runner = src/chat.c`, or `runner = src/runner.py#app`");
}

static void set_runner(struct setting *setting, const struct key *key, const char *value)
{
    struct manifest *manifest = setting->manifest;
    size_t size = strcspn(value, "#");
    manifest->runner_line = setting->line;
    manifest->python = source_ok(value, size, ".py");
    if (!manifest->python && !(source_ok(value, size, ".c") && !value[size]))
        COMPLAIN(setting, RUN_MANIFEST_VALUE,
                 "%s is `%s`, which is not a C or Python file in a directory of the application", key->name,
                 value)
            ->hint = runner_hint(value);
    else if (value[size] && !object_ok(value + size + 1))
        COMPLAIN(setting, RUN_MANIFEST_VALUE, "runner is `%s`, and `%s` is not a name in Python", value,
                 value + size + 1)
            ->hint = sl_strdup_heap("after the # stands the name of the WSGI or ASGI callable in the file; "
                                    "without it that is `application`");
    manifest->runner = sl_arena_strndup(manifest->arena, value, size);
    manifest->object = sl_arena_strdup(manifest->arena, value[size] ? value + size + 1 : "application");
}

static void set_number(struct setting *setting, const struct key *key, const char *value)
{
    uint64_t number;
    if (sl_view_number(sl_view_of(value), key->most, &number) == 0 && number >= key->least) {
        *(uint64_t *)((char *)setting->manifest + key->offset) = number;
        return;
    }
    char wanted[96];
    if (key->most >= INT32_MAX)
        snprintf(wanted, sizeof(wanted), "a whole number from %llu", (unsigned long long)key->least);
    else
        snprintf(wanted, sizeof(wanted), "a whole number from %llu to %llu", (unsigned long long)key->least,
                 (unsigned long long)key->most);
    wrong_value(setting, key, value, wanted);
}

void manifest_set(struct setting *setting, const struct key *key, const char *value)
{
    char *place = (char *)setting->manifest + key->offset;
    const char *port;
    int number;
    switch (key->kind) {
    case KIND_NAME:
        set_string(setting, key, value, name_ok(value),
                   "a name of at most 32 lower case letters, digits, - and _, beginning with a letter");
        break;
    case KIND_WORD:
        set_string(setting, key, value, word_ok(value, strlen(value)),
                   "one word of letters, digits and +-._:");
        break;
    case KIND_RUNNER:
        set_runner(setting, key, value);
        break;
    case KIND_PATH:
        set_string(setting, key, value, *value != '\0', "a path");
        break;
    case KIND_ADDRESS:
        set_string(setting, key, value, address_check(value, &port) == 0, "an address");
        break;
    case KIND_LIST:
        if (key->offset == offsetof(struct manifest, libraries))
            setting->manifest->libraries_line = setting->line;
        set_list(setting, key, value);
        break;
    case KIND_PLUGINS:
        setting->manifest->plugins_line = setting->line;
        set_list(setting, key, value);
        check_plugins(setting, &setting->manifest->plugins);
        break;
    case KIND_SERVICE:
        if (*value)
            COMPLAIN(setting, RUN_MANIFEST_VALUE, "%s has the value `%s`", key->name, value)->hint =
                sl_printf_heap("write `%s =`: it takes none", key->name);
        *(bool *)place = true;
        break;
    case KIND_ACCESS:
        number = choice(value, access_words, sl_array_size(access_words));
        if (number < 0)
            wrong_value(setting, key, value, "combined, json or off");
        else
            *(enum manifest_access *)place = (enum manifest_access)number;
        break;
    case KIND_LEVEL:
        number = choice(value, level_words, sl_array_size(level_words));
        if (number < 0)
            wrong_value(setting, key, value, "debug, info, warning or error");
        else
            *(sl_level *)place = (sl_level)number;
        break;
    case KIND_NUMBER:
        set_number(setting, key, value);
        break;
    }
}
