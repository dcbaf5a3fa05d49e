/* developer.c: which services the developer of an application has on this machine.
 *
 *     [postgres]            ; for all applications
 *     user = me
 *     password = …
 *
 *     [postgres chat]       ; for the application chat, instead
 *     dbname = chat_test
 *
 * stands in $XDG_CONFIG_HOME/silver/services.ini, which is ~/.config/silver/services.ini by default. It is
 * read as strictly as an app.ini; a file with a password in it is nobody else's to read. */
#include "run/services.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct {
    const char *key, *variable;
} settings[] = {
    {"dbname", "CONFIG_PG_DBNAME"}, {"user", "CONFIG_PG_USER"}, {"password", "CONFIG_PG_PASSWORD"},
    {"host", "CONFIG_PG_HOST"},     {"port", "CONFIG_PG_PORT"},
};

struct said {
    char *values[sl_array_size(settings)];
    bool anything;
};

struct reader {
    const char *app_name;
    struct said all, own; /* of [postgres] and [postgres APP] */
    bool password;
    char *wrong; /* with the first line that is */
};

static int pair(void *user, const char *section, const char *name, const char *value)
{
    struct reader *reader = user;
    bool all = strcmp(section, "postgres") == 0, one = strncmp(section, "postgres ", 9) == 0;
    if (reader->wrong)
        return 0;
    if (!all && !one) {
        reader->wrong =
            sl_printf_heap("there is no section [%s]; there are [postgres] and [postgres APP]", section);
        return 0;
    }
    struct said *said = all ? &reader->all : strcmp(section + 9, reader->app_name) == 0 ? &reader->own : NULL;
    for (size_t i = 0; i < sl_array_size(settings); i++) {
        if (strcmp(name, settings[i].key) != 0)
            continue;
        reader->password = reader->password || strcmp(name, "password") == 0;
        if (said) {
            said->anything = true;
            free(said->values[i]);
            said->values[i] = sl_strdup_heap(value);
        }
        return 1;
    }
    reader->wrong =
        sl_printf_heap("there is no key `%s`; there are dbname, user, password, host and port", name);
    return 0;
}

static char *file_path(void)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/')
        return sl_printf_heap("%s/silver/services.ini", xdg);
    return home && *home == '/' ? sl_printf_heap("%s/.config/silver/services.ini", home) : NULL;
}

static int judge(const struct reader *reader, FILE *file, const char *path, int line, sl_error **ret_error)
{
    struct stat status;
    if (line < 0 || fstat(fileno(file), &status) < 0) {
        *ret_error = sl_error_new(SL_ECONFIG, "%s cannot be read", path);
    } else if (line > 0) {
        *ret_error =
            sl_error_new(SL_ECONFIG, "%s:%d: %s", path, line,
                         reader->wrong ? reader->wrong : "this is neither a section nor `key = value`");
    } else if (reader->password && (status.st_mode & 077)) {
        *ret_error =
            sl_error_hint(sl_error_new(SL_ECONFIG, "%s holds a password, and others can read it", path),
                          "`chmod 600 %s`", path);
    } else {
        return 0;
    }
    return SL_ECONFIG;
}

static void set_variables(const struct said *said, const char *app_name)
{
    for (size_t i = 0; i < sl_array_size(settings); i++)
        setenv(settings[i].variable, said->values[i] ? said->values[i] : i == 0 ? app_name : "", 1);
}

int developer_postgres(const char *app_name, sl_error **ret_error)
{
    struct reader reader = {.app_name = app_name};
    char *path = file_path();
    FILE *file = path ? fopen(path, "re") : NULL;
    int code = 0;
    if (!file && path && errno != ENOENT && errno != ENOTDIR) {
        code = -errno;
        *ret_error = sl_error_new(code, "%s cannot be read: %s", path, sl_code_message(code));
    } else if (file) {
        int line = ini_parse_file(file, pair, &reader);
        code = judge(&reader, file, path, line, ret_error);
        fclose(file);
    }
    const struct said *said = reader.own.anything ? &reader.own : &reader.all;
    if (code == 0 && said->anything) {
        set_variables(said, app_name);
        code = 1;
    }
    for (size_t i = 0; i < sl_array_size(settings); i++) {
        free(reader.all.values[i]);
        free(reader.own.values[i]);
    }
    free(reader.wrong);
    free(path);
    return code;
}
