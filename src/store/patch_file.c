/* patch_file.c: the files of an application's schema/: patches as SQL.
 *
 *     schema/001-persons.sql             for whatever database
 *     schema/002-search.sqlite.sql       where the two differ: one of them is taken
 *     schema/002-search.postgres.sql
 *
 * A file whose name ends with .sql and is none of these is a mistake, for it would never be applied. */
#include "store/schema.h"

#include <silver/io.h>

#include <dlfcn.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define NUMBER_DIGITS_MAX 6

/* ---- Names ---- */

static bool ends_with(sl_view name, const char *ending)
{
    size_t size = strlen(ending);
    return name.size >= size && memcmp(name.data + name.size - size, ending, size) == 0;
}

/* In the summary, which ends the name now. */
static bool is_summary(sl_view summary)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    for (size_t i = 0; i < summary.size; i++)
        if (!memchr(allowed, summary.data[i], sizeof(allowed) - 1))
            return false;
    return summary.size > 0;
}

int sl__patch_file_name(const char *name, sl__patch_file *ret_file, const char **ret_wrong)
{
    static const struct {
        const char *ending;
        bool any;
        sl__dialect dialect;
    } endings[] = {{".sqlite.sql", false, SL__SQLITE},
                   {".postgres.sql", false, SL__POSTGRES},
                   {".sql", true, SL__SQLITE}};
    sl_view rest = sl_view_of(name);
    if (!ends_with(rest, ".sql") || name[0] == '.')
        return 0;
    *ret_wrong = "is not called NNN-what-it-does.sql";
    size_t digits = strspn(name, "0123456789");
    uint64_t number;
    if (digits < 3 || digits > NUMBER_DIGITS_MAX || name[digits] != '-' ||
        sl_view_number((sl_view){name, digits}, UINT32_MAX, &number) < 0)
        return SL_EPARSE;
    sl__patch_file file = {.number = (unsigned)number};
    for (size_t i = 0; i < sl_array_size(endings); i++)
        if (ends_with(rest, endings[i].ending)) {
            file.any_dialect = endings[i].any;
            file.dialect = endings[i].dialect;
            rest.size -= strlen(endings[i].ending);
            break;
        }
    rest = (sl_view){rest.data + digits + 1, rest.size - digits - 1};
    if (number == 0)
        *ret_wrong = "has the number 0: the first patch is 001";
    else if (memchr(rest.data, '.', rest.size))
        *ret_wrong = "is for no database that is known: .sqlite.sql, .postgres.sql, or .sql for both";
    if (number == 0 || !is_summary(rest))
        return SL_EPARSE;
    file.summary = sl_arena_strndup(sl_task_arena(), rest.data, rest.size);
    *ret_file = file;
    return 1;
}

/* ---- Contents ---- */

const char *sl__patch_file_store(sl_view text, sl_arena *arena)
{
    static const char word[] = "store:";
    const char *end = memchr(text.data, '\n', text.size);
    sl_view line = sl_view_trim((sl_view){text.data, end ? (size_t)(end - text.data) : text.size}, " \t\r");
    if (line.size < 2 || memcmp(line.data, "--", 2) != 0)
        return NULL;
    line = sl_view_trim((sl_view){line.data + 2, line.size - 2}, " \t");
    if (line.size < sizeof(word) - 1 || memcmp(line.data, word, sizeof(word) - 1) != 0)
        return NULL;
    line = sl_view_trim((sl_view){line.data + sizeof(word) - 1, line.size - sizeof(word) + 1}, " \t");
    return line.size ? sl_arena_strndup(arena, line.data, line.size) : NULL;
}

/* libcrypto is loaded when it is needed, as by the first WebSocket (http/ws_frame.c): most processes never
 * do. */
void sl__patch_checksum(const void *data, size_t size, char out[static SL__PATCH_CHECKSUM_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    __typeof__(EVP_Digest) *digest = library ? (__typeof__(EVP_Digest) *)dlsym(library, "EVP_Digest") : NULL;
    __typeof__(EVP_sha256) *kind = library ? (__typeof__(EVP_sha256) *)dlsym(library, "EVP_sha256") : NULL;
    if (!digest || !kind || !digest(data, size, bytes, NULL, kind(), NULL))
        sl_fail(SL_EFAILED, "libcrypto of OpenSSL 3 cannot be loaded (package libssl3): %s", dlerror());
    for (size_t i = 0; i < SL__PATCH_CHECKSUM_SIZE / 2; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[SL__PATCH_CHECKSUM_SIZE - 1] = '\0';
}

sl_error *sl__patch_is_empty(const sl_site *site)
{
    return sl_error_hint(
        sl__error_new(site, SL_ESCHEMA, "no statement stands in it"),
        "write what it is to do (`silver db schema --difference` prints it); a patch that is "
        "to do nothing is `SELECT 1;`");
}

/* ---- Reading ---- */

static sl_view without_mark(sl_view text)
{
    bool marked = text.size >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0;
    return marked ? (sl_view){text.data + 3, text.size - 3} : text;
}

static const char *read_file(const char *directory, sl__patch_file *file)
{
    sl_error *error;
    const sl_bytes *bytes =
        sl_try(sl_file_read(sl_printf("%s/%s", directory, file->path), SL__PATCH_FILE_MAX), &error);
    if (error)
        return error->message;
    sl__patch_checksum(bytes->data, bytes->size, file->checksum);
    file->text = without_mark((sl_view){bytes->data, bytes->size});
    if (memchr(file->text.data, '\0', file->text.size) || !sl_utf8_valid(file->text.data, file->text.size))
        return sl_printf("%s is not UTF-8 text", file->path);
    file->store = sl__patch_file_store(file->text, sl_task_arena());
    return NULL;
}

static int by_number(const void *a, const void *b)
{
    const sl__patch_file *x = a, *y = b;
    return x->number != y->number ? (x->number < y->number ? -1 : 1) : strcmp(x->path, y->path);
}

sl__patch_files sl__patch_files_read(const sl_site *site, const char *directory)
{
    sl_error *error;
    sl__patch_files files = {0};
    sl_buffer wrongs SL_CLEANUP(sl_buffer_done) = {0};
    if (!directory)
        return files;
    const sl_directory *listed = sl_try(sl_directory_list(sl_printf("%s/schema", directory)), &error);
    if (error && (error->code == SL_ENOENT || error->code == -ENOTDIR))
        return files;
    if (error)
        sl_fail_again(error);
    files.items = sl_zalloc((listed->count + 1) * sizeof(*files.items));
    for (size_t i = 0; i < listed->count; i++) {
        sl__patch_file *file = &files.items[files.count];
        const char *name = listed->entries[i].name, *wrong = NULL;
        int kind = sl__patch_file_name(name, file, &wrong);
        if (kind < 0)
            sl_buffer_printf(&wrongs, "schema/%s %s\n", name, wrong);
        if (kind <= 0)
            continue;
        file->path = sl_printf("schema/%s", name);
        files.count++;
        if ((wrong = read_file(directory, file)))
            sl_buffer_printf(&wrongs, "%s\n", wrong);
    }
    if (wrongs.size)
        sl__fail_error(
            site, sl_error_hint(sl_error_detail(sl__error_new(site, SL_ESCHEMA,
                                                              "files in schema/ are no "
                                                              "patches"),
                                                wrongs.data, wrongs.size - 1),
                                "patches are called 001-what-it-does.sql, 002-…; where the databases differ "
                                "002-what.sqlite.sql and 002-what.postgres.sql"));
    if (files.count)
        qsort(files.items, files.count, sizeof(*files.items), by_number);
    return files;
}
