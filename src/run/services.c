/* services.c: what an application's manifest asks for, as it is given in development. */
#include "run/services.h"
#include "run/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES 32

/* ---- Files ------------------------------------------------------------------------------------------- */

static int make_folder(const struct manifest *manifest, const char *name, sl_error **ret_error)
{
    char *path = sl_printf_heap("%s/%s", manifest->directory, name);
    int code = mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
    if (code < 0)
        *ret_error = sl_error_new(code, "cannot make %s: %s", path, sl_code_message(code));
    free(path);
    return code;
}

static void set_path(const struct manifest *manifest, const char *variable, const char *name,
                     const char *suffix)
{
    char *path = sl_printf_heap("%s/%s%s", manifest->directory, name, suffix);
    setenv(variable, path, 1);
    free(path);
}

/* ---- The secret -------------------------------------------------------------------------------------- */

/* Writes a new secret beside its place, and puts it there unless another process was faster. */
static int make_secret(const char *path)
{
    unsigned char bytes[SECRET_BYTES];
    char *beside = sl_printf_heap("%s.%d", path, (int)getpid());
    int code = getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes) ? 0 : -errno;
    int fd = code < 0 ? -1 : open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (code == 0 && fd < 0)
        code = -errno;
    sl_buffer text = {0};
    for (size_t i = 0; i < sizeof(bytes); i++)
        sl_buffer_printf(&text, "%02x", bytes[i]);
    if (code == 0 && (write(fd, text.data, text.size) != (ssize_t)text.size || fsync(fd) < 0))
        code = -errno;
    if (code == 0 && link(beside, path) < 0 && errno != EEXIST)
        code = -errno;
    if (fd >= 0) {
        close(fd);
        unlink(beside);
    }
    sl_buffer_done(&text);
    free(beside);
    return code;
}

static int read_secret(const char *path, char out[static 2 * SECRET_BYTES + 1], sl_error **ret_error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int code = fd < 0 || fstat(fd, &status) < 0 ? -errno : 0;
    if (code == 0 && (status.st_mode & 077)) {
        *ret_error =
            sl_error_hint(sl_error_new(SL_EACCES, "service.secret: others can read %s", path),
                          "take it from them (`chmod 600 %s`), or remove it to have a new one made", path);
        code = SL_EACCES;
    } else if (code == 0) {
        ssize_t size = read(fd, out, 2 * SECRET_BYTES);
        out[size > 0 ? size : 0] = '\0';
        if (strspn(out, "0123456789abcdef") != 2 * SECRET_BYTES)
            code = SL_EPARSE;
    }
    if (fd >= 0)
        close(fd);
    if (code == SL_EPARSE)
        *ret_error =
            sl_error_hint(sl_error_new(code, "service.secret: %s is damaged", path),
                          "remove it, and a new one is made; what was signed with the old one is void");
    else if (code < 0 && !*ret_error)
        *ret_error = sl_error_new(code, "service.secret: %s cannot be read: %s", path, sl_code_message(code));
    return code;
}

static int offer_secret(const struct manifest *manifest, sl_error **ret_error)
{
    char secret[2 * SECRET_BYTES + 1];
    int code = make_folder(manifest, "var", ret_error);
    if (code < 0)
        return code;
    char *path = sl_printf_heap("%s/var/secret", manifest->directory);
    if (access(path, F_OK) < 0 && (code = make_secret(path)) < 0)
        *ret_error =
            sl_error_new(code, "service.secret: %s cannot be written: %s", path, sl_code_message(code));
    if (code == 0)
        code = read_secret(path, secret, ret_error);
    if (code == 0)
        setenv("CONFIG_SECRET", secret, 1);
    free(path);
    return code;
}

/* ---- SQLite ------------------------------------------------------------------------------------------ */

char *services_sqlite_variable(const char *name)
{
    char *variable = sl_printf_heap("CONFIG_SQLITE_%s_PATH", name);
    for (char *at = variable; *at; at++)
        *at = *at == '-' ? '_' : *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    return variable;
}

static int offer_sqlite(const struct manifest *manifest, const char *variable, const char *name,
                        sl_error **ret_error)
{
    const char *given = getenv(variable);
    if (given && *given)
        return 0;
    if (given) {
        *ret_error =
            sl_error_hint(sl_error_new(SL_ECONFIG, "%s is empty", variable),
                          "set it to the path of a database, or take it out of the environment: then it is "
                          "%s/data/%s.sqlite",
                          manifest->directory, name);
        return SL_ECONFIG;
    }
    int code = make_folder(manifest, "data", ret_error);
    if (code < 0)
        return code;
    char *file = sl_printf_heap("data/%s", name);
    set_path(manifest, variable, file, ".sqlite");
    free(file);
    return 0;
}

static int offer_sqlites(const struct manifest *manifest, sl_error **ret_error)
{
    int code =
        manifest->sqlite ? offer_sqlite(manifest, "CONFIG_SQLITE_PATH", manifest->app_name, ret_error) : 0;
    for (size_t i = 0; i < manifest->sqlites.count && code == 0; i++) {
        char *variable = services_sqlite_variable(manifest->sqlites.items[i]);
        code = offer_sqlite(manifest, variable, manifest->sqlites.items[i], ret_error);
        free(variable);
    }
    return code;
}

int services_offer(const struct manifest *manifest, sl_error **ret_error)
{
    bool files = manifest->files && !getenv("CONFIG_FILES");
    bool secret = manifest->secret && !getenv("CONFIG_SECRET");
    int code = files ? make_folder(manifest, "data", ret_error) : 0;
    if (files && code == 0)
        code = make_folder(manifest, "data/files", ret_error);
    if (secret && code == 0)
        code = offer_secret(manifest, ret_error);
    if (code == 0)
        code = offer_sqlites(manifest, ret_error);
    if (code < 0)
        return code;
    if (files)
        set_path(manifest, "CONFIG_FILES", "data/files", "");
    return 0;
}

/* ---- PostgreSQL -------------------------------------------------------------------------------------- */

static const char *const postgres_variables[] = {"CONFIG_PG_USER", "CONFIG_PG_PASSWORD", "CONFIG_PG_HOST",
                                                 "CONFIG_PG_PORT"};

/* What the environment says holds, as a whole; what it leaves out is libpq's own default. */
static int environment_postgres(sl_error **ret_error)
{
    const char *database = getenv("CONFIG_PG_DBNAME");
    for (size_t i = 0; i < sl_array_size(postgres_variables); i++) {
        if (database && *database) {
            setenv(postgres_variables[i], "", 0);
        } else if (getenv(postgres_variables[i])) {
            *ret_error = sl_error_hint(
                sl_error_new(SL_ECONFIG, "service.postgres: the environment has %s and no CONFIG_PG_DBNAME",
                             postgres_variables[i]),
                "name the database too, or take the others out of the environment");
            return SL_ECONFIG;
        }
    }
    return database && *database;
}

static int own_postgres(const struct manifest *manifest, struct services *services, sl_error **ret_error)
{
    char *runtime = NULL;
    int code = runtime_directory(manifest->directory, &runtime, ret_error);
    if (code == 0)
        code = postgres_use(manifest->directory, runtime, manifest->app_name, &services->postgres, ret_error);
    if (code == 0) {
        setenv("CONFIG_PG_DBNAME", services->postgres.database, 1);
        setenv("CONFIG_PG_USER", services->postgres.database, 1);
        setenv("CONFIG_PG_PASSWORD", "", 1);
        setenv("CONFIG_PG_HOST", services->postgres.sockets, 1);
        setenv("CONFIG_PG_PORT", POSTGRES_PORT, 1);
    }
    free(runtime);
    return code;
}

int services_start(const struct manifest *manifest, struct services *services, sl_error **ret_error)
{
    if (!manifest->postgres || services->postgres.application)
        return 0;
    int code = environment_postgres(ret_error);
    if (code == 0)
        code = developer_postgres(manifest->app_name, ret_error);
    if (code == 0)
        return own_postgres(manifest, services, ret_error);
    return code < 0 ? code : 0;
}

bool services_repair(struct services *services)
{
    return postgres_repair(&services->postgres);
}

void services_stop(struct services *services)
{
    postgres_leave(&services->postgres);
}
