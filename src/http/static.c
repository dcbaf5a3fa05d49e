/* static.c: the files of a directory, at the site's root.
 *
 * A path is opened beneath the directory (beneath.h), so nothing outside is ever reached. Names that begin
 * with a dot are not there, but for /.well-known.
 *
 * What was found is kept for a second without another look, and after that for as long as the file is the
 * same: small files in memory, large ones as a descriptor, together with their neighbours app.js.br,
 * app.js.zst and app.js.gz, and with what we compressed ourselves. That a path is not there is remembered
 * too, since each request for a handler asks here first. The first attempt to open and read takes only what
 * the kernel has in memory (RESOLVE_CACHED, RWF_NOWAIT); what needs a disk is done in a thread. So the loop
 * never waits, and a file in use costs no system call. */
#include "http/beneath.h"
#include "http/content.h"

#include <silver/io.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FRESH_MS 1000
#define ENTRIES_MAX 1024
#define DESCRIPTORS_MAX 128
#define BYTES_MAX (32 * 1024 * 1024)
#define ABSENT_SLOTS 256
#define ABSENT_PATH 56

/* What a path stands for. files[0] is the file itself, the others its neighbours in that coding, or NULL. */
struct entry {
    char *path;
    sl__file *files[SL__CODING_COUNT];
    bool redirect; /* a directory that was asked for without its slash */
    uint64_t checked_ms;
    size_t bytes;
    unsigned descriptors;
    struct entry *newer, *older; /* by use */
};

/* A path that was not there. The slot is the path's hash: a peer who fills them only makes us look again. */
struct absent {
    uint64_t until_ms;
    char path[ABSENT_PATH];
};

struct sl__static {
    sl__beneath root;
    uint64_t root_checked_ms;
    unsigned jobs; /* that use the root in threads */
    sl_table *entries;
    struct entry *newest, *oldest;
    size_t bytes, count, descriptors;
    struct absent absent[ABSENT_SLOTS];
};

static const char *const suffixes[SL__CODING_COUNT] = {"", ".zst", ".br", ".gz"};

/* ---- Looking, in a thread or not --------------------------------------------------------------------- */

#define LONGER sizeof("/index.html")

/* One look at a path. What is known already is given as its identity, since the files themselves belong to
 * the loop. */
struct look {
    const sl__beneath *root;
    const char *path; /* relative */
    char *longer;     /* room for the path and LONGER more */
    bool cached, redirect, same[SL__CODING_COUNT];
    const sl__file_id *known[SL__CODING_COUNT];
    sl__file *files[SL__CODING_COUNT];
    int code;
};

static int look_at(struct look *look, const char *path, sl__coding coding)
{
    int fd = sl__beneath_open(look->root, path, look->cached);
    if (fd < 0)
        return fd;
    if (look->known[coding] && sl__file_same(look->known[coding], fd)) {
        look->same[coding] = true;
        close(fd);
        return 0;
    }
    return sl__file_from(fd, path, look->cached, &look->files[coding]);
}

static const char *longer(struct look *look, const char *more)
{
    stpcpy(stpcpy(look->longer, look->path), more);
    return look->longer;
}

static int look_at_neighbours(struct look *look)
{
    for (int coding = 1; coding < SL__CODING_COUNT; coding++) {
        int code = look_at(look, longer(look, suffixes[coding]), (sl__coding)coding);
        if (code < 0 && !sl__file_absent(code))
            return code;
    }
    return 0;
}

static void look_drop(struct look *look)
{
    for (int coding = 0; coding < SL__CODING_COUNT; coding++) {
        look->files[coding] = sl__file_unref(look->files[coding]);
        look->same[coding] = false;
    }
}

static void look_once(struct look *look)
{
    look->code = look_at(look, look->path, SL__CODING_IDENTITY);
    if (look->code == -EISDIR) {
        look->code = look_at(look, longer(look, "/index.html"), SL__CODING_IDENTITY);
        look->redirect = look->code == 0;
        sl__file_unref(look->files[0]);
        look->files[0] = NULL;
    } else if (look->code == 0) {
        look->code = look_at_neighbours(look);
    }
    if (look->code < 0)
        look_drop(look);
}

static sl_result look_in_thread(void *data)
{
    look_once(data);
    return sl_ok(NULL);
}

static void look_done(void *data)
{
    look_drop(data);
}

/* ---- What is kept ------------------------------------------------------------------------------------ */

static void unlink_entry(sl__static *statics, struct entry *entry)
{
    *(entry->newer ? &entry->newer->older : &statics->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &statics->oldest) = entry->newer;
}

static void link_newest(sl__static *statics, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = statics->newest;
    *(statics->newest ? &statics->newest->newer : &statics->oldest) = entry;
    statics->newest = entry;
}

static void weigh(sl__static *statics, struct entry *entry)
{
    statics->bytes -= entry->bytes;
    statics->descriptors -= entry->descriptors;
    entry->bytes = sizeof(*entry) + strlen(entry->path) + 1;
    entry->descriptors = 0;
    for (int coding = 0; coding < SL__CODING_COUNT; coding++) {
        const sl__file *file = entry->files[coding];
        entry->bytes += file ? sl__file_bytes(file) : 0;
        entry->descriptors += file && file->fd >= 0;
    }
    statics->bytes += entry->bytes;
    statics->descriptors += entry->descriptors;
}

static void drop_entry(sl__static *statics, struct entry *entry)
{
    unlink_entry(statics, entry);
    sl_table_remove(statics->entries, entry->path);
    statics->count--;
    statics->bytes -= entry->bytes;
    statics->descriptors -= entry->descriptors;
    for (int coding = 0; coding < SL__CODING_COUNT; coding++)
        sl__file_unref(entry->files[coding]);
    free(entry->path);
    free(entry);
}

static void keep_to_bounds(sl__static *statics)
{
    while (statics->oldest && (statics->count > ENTRIES_MAX || statics->bytes > BYTES_MAX ||
                               statics->descriptors > DESCRIPTORS_MAX))
        drop_entry(statics, statics->oldest);
}

static struct entry *new_entry(sl__static *statics, const char *path)
{
    struct entry *entry = sl_calloc(1, sizeof(*entry));
    entry->path = sl_strdup_heap(path);
    sl_table_set(statics->entries, path, entry);
    statics->count++;
    link_newest(statics, entry);
    return entry;
}

static struct absent *absent_slot(sl__static *statics, const char *path, size_t *ret_size)
{
    uint32_t hash = 2166136261u;
    const char *at = path;
    for (; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    *ret_size = (size_t)(at - path) + 1;
    return &statics->absent[(hash ^ hash >> 16) % ABSENT_SLOTS];
}

static bool known_absent(sl__static *statics, const char *path, uint64_t now)
{
    size_t size;
    const struct absent *absent = absent_slot(statics, path, &size);
    return size <= ABSENT_PATH && now < absent->until_ms && memcmp(absent->path, path, size) == 0;
}

static void remember_absent(sl__static *statics, const char *path, uint64_t now)
{
    size_t size;
    struct absent *absent = absent_slot(statics, path, &size);
    if (size > ABSENT_PATH)
        return;
    absent->until_ms = now + FRESH_MS;
    memcpy(absent->path, path, size);
}

/* ---- Finding ----------------------------------------------------------------------------------------- */

/* The files as they were before a look that may take long: they must not go meanwhile. */
static void hold(sl__file *files[static SL__CODING_COUNT], const struct entry *entry, struct look *look)
{
    for (int coding = 0; coding < SL__CODING_COUNT; coding++) {
        files[coding] = entry && entry->files[coding] ? sl__file_ref(entry->files[coding]) : NULL;
        look->known[coding] = files[coding] ? &files[coding]->id : NULL;
    }
}

/* Puts what the look found into the path's entry. A neighbour that is older than the file is none. */
static struct entry *store(sl__static *statics, const char *path, struct look *look, sl__file **held)
{
    struct entry *entry = sl_table_get(statics->entries, path);
    if (!entry)
        entry = new_entry(statics, path);
    entry->redirect = look->redirect;
    for (int coding = 0; coding < SL__CODING_COUNT; coding++) {
        sl__file *file = look->same[coding] ? sl__file_ref(held[coding]) : look->files[coding];
        look->files[coding] = NULL;
        const sl__file *original = entry->files[0];
        if (coding > 0 && file && original &&
            (file->id.mtime_s < original->id.mtime_s ||
             (file->id.mtime_s == original->id.mtime_s && file->id.mtime_ns < original->id.mtime_ns)))
            file = sl__file_unref(file);
        sl__file_unref(entry->files[coding]);
        entry->files[coding] = file;
    }
    entry->checked_ms = sl_loop_now(sl_loop_current());
    weigh(statics, entry);
    return entry;
}

static void look_for(sl__static *statics, struct look *look)
{
    look->cached = true;
    look_once(look);
    if (look->code != -EAGAIN)
        return;
    look->cached = look->redirect = false;
    sl_defer(look_done, look);
    statics->jobs++;
    /* The thread works on this task's memory, so the task waits for it even if it was cancelled. */
    SL_SHIELD()
    {
        sl_await(sl_in_thread(look_in_thread, look, NULL));
    }
    statics->jobs--;
}

static void unhold(void *data)
{
    for (int coding = 0; coding < SL__CODING_COUNT; coding++)
        sl__file_unref(((sl__file **)data)[coding]);
}

/* The path's entry, looked at within the last second, or NULL. May suspend, and then other entries may go. */
static struct entry *find(sl__static *statics, const char *path)
{
    uint64_t now = sl_loop_now(sl_loop_current());
    struct entry *entry = sl_table_get(statics->entries, path);
    if (entry && now - entry->checked_ms < FRESH_MS) {
        if (entry != statics->newest) {
            unlink_entry(statics, entry);
            link_newest(statics, entry);
        }
        return entry;
    }
    if (!entry && known_absent(statics, path, now))
        return NULL;
    if (now - statics->root_checked_ms >= FRESH_MS && statics->jobs == 0) {
        sl__beneath_refresh(&statics->root);
        statics->root_checked_ms = now;
    }
    struct look *look = sl_zalloc(sizeof(*look));
    sl__file **held = sl_zalloc(SL__CODING_COUNT * sizeof(sl__file *));
    size_t size = strlen(path);
    look->root = &statics->root;
    look->path = path[size - 1] == '/' ? sl_printf("%sindex.html", path + 1) : path + 1;
    look->longer = sl_alloc(strlen(look->path) + LONGER);
    hold(held, entry, look);
    sl_defer(unhold, held);
    look_for(statics, look);
    if (look->code == 0) {
        entry = store(statics, path, look, held);
        /* What was just found stays, even where it alone is over the bounds. */
        unlink_entry(statics, entry);
        link_newest(statics, entry);
        return entry;
    }
    if ((entry = sl_table_get(statics->entries, path)))
        drop_entry(statics, entry);
    if (look->code == -EMFILE || look->code == -ENFILE)
        sl_fail(SL_HTTP(503), "no file descriptor is left to open %s%s", statics->root.directory, path);
    if (!sl__file_absent(look->code))
        sl_fail(look->code, "cannot read %s%s: %s", statics->root.directory, path, strerror(-look->code));
    remember_absent(statics, path, now);
    return NULL;
}

/* ---- Answering --------------------------------------------------------------------------------------- */

/* Whether the path may name a file: no dot-files, no empty names, no slash that was sent encoded. */
static bool path_is_clean(const sl_request *req)
{
    if (req->path[0] != '/')
        return false;
    for (const char *at = req->path; *at; at++) {
        if (*at != '/')
            continue;
        if (at[1] == '/')
            return false;
        bool well_known =
            at == req->path && strncmp(at, "/.well-known", 12) == 0 && (at[12] == '/' || at[12] == 0);
        if (at[1] == '.' && !well_known)
            return false;
    }
    for (const char *at = req->target; *at && *at != '?'; at++) {
        if (at[0] == '%' && at[1] == '2' && (at[2] == 'f' || at[2] == 'F'))
            return false;
    }
    return true;
}

/* The path with a slash at its end, encoded as a reference that cannot be taken for another host's. */
static sl_response *redirect(sl_request *req)
{
    static const char plain[] = "-._~!$&'()*+,;=:@/";
    size_t size = strlen(req->path), query = strlen(req->query);
    char *location = sl_arena_alloc(req->arena, size * 3 + query + 3), *out = location;
    for (const char *at = req->path; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(plain, c))
            *out++ = (char)c;
        else
            out += sprintf(out, "%%%02X", c);
    }
    *out++ = '/';
    if (query) {
        *out++ = '?';
        memcpy(out, req->query, query);
        out += query;
    }
    *out = 0;
    sl_response *res = sl_arena_zalloc(req->arena, sizeof(*res));
    *res = (sl_response){.request = req, .status = 301, .body = SL__BODY_SEGMENTS};
    sl__fields_put(req->arena, &res->fields, "Location", location);
    sl__fields_put(req->arena, &res->fields, "Cache-Control", "no-cache");
    return res;
}

struct encoding {
    const sl__file *file;
    sl__coding coding;
    sl_buffer out;
};

static sl_result encode_in_thread(void *data)
{
    struct encoding *encoding = data;
    sl__encode_whole(encoding->coding, SL__EFFORT_KEEP, encoding->file->data, encoding->file->id.size,
                     &encoding->out);
    return sl_ok(NULL);
}

/* Makes the file's contents in this coding, once. False while somebody else is at it. */
static bool make_encoded(sl__static *statics, const char *path, sl__file *file, sl__coding coding)
{
    if (file->encoded[coding].data)
        return true;
    if (file->encoding)
        return false;
    struct encoding *encoding = sl_zalloc(sizeof(*encoding));
    *encoding = (struct encoding){.file = file, .coding = coding};
    file->encoding = true;
    /* The thread works on this task's memory, so the task waits for it even if it was cancelled. */
    SL_SHIELD()
    {
        sl_await(sl_in_thread(encode_in_thread, encoding, NULL));
    }
    file->encoding = false;
    file->encoded[coding] = encoding->out;
    struct entry *entry = sl_table_get(statics->entries, path);
    if (entry)
        weigh(statics, entry);
    return true;
}

static void put(sl_response *res, const char *name, const char *value)
{
    res->fields.items[res->fields.count++] =
        (sl__field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

static unsigned neighbours(const struct entry *entry)
{
    unsigned mask = 0;
    for (int coding = 1; coding < SL__CODING_COUNT; coding++)
        mask |= entry->files[coding] ? 1u << coding : 0;
    return mask;
}

static sl_response *respond(sl__static *statics, sl_request *req, struct entry *entry)
{
    sl__conditions conditions;
    sl__conditions_read(req, &conditions);
    sl__file *file = entry->files[0];
    unsigned offered = neighbours(entry);
    bool shrinks = file->id.size >= SL__COMPRESS_MIN && sl__compressible(file->type);
    sl__coding stored = sl__coding_choose(req, &conditions, offered), made = SL__CODING_IDENTITY;
    /* Who asks for a part, or insists on the tag of the plain form, means what is on the disk. */
    if (!stored && shrinks && file->data && !conditions.range && !conditions.if_match)
        made = sl__coding_choose(req, &conditions, ~0u);
    sl_response *res = sl__file_respond(req, entry->files[stored], file->type);
    if (made && !make_encoded(statics, req->path, file, made)) /* the entry may be gone from here on */
        made = SL__CODING_IDENTITY;
    if (made) {
        res->segments[0].data = file->encoded[made].data;
        res->segments[0].size = file->encoded[made].size;
        sl__fields_put(req->arena, &res->fields, "ETag", sl_arena_printf(req->arena, "W/%s", file->etag));
    }
    put(res, "Cache-Control", "no-cache");
    if (offered || shrinks)
        put(res, "Vary", "Accept-Encoding");
    if (stored || made)
        put(res, "Content-Encoding", sl__coding_names[stored ? stored : made]);
    res->prepared =
        !sl__conditions_any(&conditions) && (stored || made || !shrinks || !conditions.accept_encoding);
    return res;
}

sl_response *sl__static_serve(sl__static *statics, sl_request *req)
{
    if ((req->method_id != SL__GET && req->method_id != SL__HEAD) || !path_is_clean(req))
        return NULL;
    struct entry *entry = find(statics, req->path);
    if (!entry)
        return NULL;
    sl_response *res = entry->redirect ? redirect(req) : respond(statics, req, entry);
    keep_to_bounds(statics);
    return res;
}

int sl__static_new(const char *directory, sl__static **ret_static)
{
    sl__static *statics = sl_calloc(1, sizeof(*statics));
    int code = sl__beneath_init(&statics->root, directory);
    if (code < 0) {
        free(statics);
        return code;
    }
    statics->entries = sl_table_new(NULL);
    *ret_static = statics;
    return 0;
}

sl__static *sl__static_free(sl__static *statics)
{
    if (!statics)
        return NULL;
    while (statics->oldest)
        drop_entry(statics, statics->oldest);
    sl_table_free(statics->entries);
    sl__beneath_done(&statics->root);
    free(statics);
    return NULL;
}
