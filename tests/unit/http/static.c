/* static.c, beneath.c, file.c, file_response.c, media.c: files of a directory, and only those. */
#include "content_test.h"
#include "http/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <utime.h>

/* ---- A directory to serve, and one beside it that must not be ---------------------------------------- */

static char base[64];
static sl__static *statics;

static char *path_of(const char *name)
{
    return sl_printf("%s/static/%s", base, name);
}

/* Writes a file that was last changed `age` seconds ago. */
static void put_aged(const char *path, const char *data, size_t size, int age)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    struct timespec times[2] = {{.tv_sec = sl_wall_ms() / 1000 - age}, {.tv_sec = sl_wall_ms() / 1000 - age}};
    futimens(fd, times);
    close(fd);
}

static void put(const char *name, const char *text)
{
    put_aged(path_of(name), text, strlen(text), 100);
}

static char *letters(size_t size)
{
    char *data = sl_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = i % 61 == 0 ? (char)('a' + i / 61 % 26) : (char)('a' + i % 26);
    data[size] = 0;
    return data;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    return remove(path);
}

static void clean_up(void *data)
{
    statics = sl__static_free(statics);
    nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void set_up(void)
{
    strcpy(base, "/tmp/silver-static-XXXXXX");
    assert_non_null(mkdtemp(base));
    mkdir(path_of(""), 0755);
    sl_defer(clean_up, NULL);
    assert_int_equal(sl__static_new(path_of(""), &statics), 0);
}

static sl_response *get(const char *path)
{
    return sl__static_serve(statics, request("GET", path, NULL));
}

static void is_absent(const char *path)
{
    if (get(path))
        fail_msg("%s was served", path);
}

/* Until what was found is looked at again. */
static void grow_stale(void)
{
    sl_await(sl_sleep(1100));
}

/* ---- What is there ----------------------------------------------------------------------------------- */

IN_TASK(a_small_file)
{
    set_up();
    put("hello.txt", "hello");
    for (int i = 0; i < 2; i++) { /* from the disk, and from what is kept */
        sl_response *res = get("/hello.txt");
        assert_non_null(res);
        assert_int_equal(res->status, 200);
        assert_string_equal(res->type, "text/plain; charset=utf-8");
        assert_body(res, "hello");
        assert_non_null(res->segments[0].data);
        assert_string_equal(field(res, "Cache-Control"), "no-cache");
        assert_string_equal(field(res, "Accept-Ranges"), "bytes");
        assert_int_equal(field(res, "ETag")[0], '"');
        int64_t modified;
        assert_int_equal(sl__http_date_parse(sl_view_of(field(res, "Last-Modified")), &modified), 0);
        assert_true(llabs(sl_wall_ms() / 1000 - 100 - modified) < 10);
    }
}

IN_TASK(a_large_file_is_sent_from_its_descriptor)
{
    set_up();
    char *data = letters(200000);
    put("large.bin", data);
    sl_response *res = get("/large.bin");
    assert_null(res->segments[0].data);
    assert_true(res->segments[0].fd >= 0);
    assert_body(res, data);
}

IN_TASK(an_empty_file)
{
    set_up();
    put("empty", "");
    sl_response *res = get("/empty");
    assert_int_equal(res->status, 200);
    assert_string_equal(res->type, "application/octet-stream");
    assert_body(res, "");
}

IN_TASK(names_of_every_kind)
{
    set_up();
    put("a b%c.txt", "one");
    put("\xc3\xa9.html", "two");
    put("tail.", "three");
    put("a..b", "four");
    assert_body(get("/a b%c.txt"), "one");
    assert_body(get("/\xc3\xa9.html"), "two");
    assert_body(get("/tail."), "three");
    assert_body(get("/a..b"), "four");
    char name[256];
    memset(name, 'x', 255);
    name[255] = 0;
    put(name, "five");
    assert_body(get(sl_printf("/%s", name)), "five");
    is_absent(sl_printf("/%sx", name));
    is_absent(sl_printf("/%s", letters(7000)));
}

IN_TASK(directories)
{
    set_up();
    mkdir(path_of("docs"), 0755);
    mkdir(path_of("docs/a b"), 0755);
    mkdir(path_of("bare"), 0755);
    put("index.html", "root");
    put("docs/index.html", "docs");
    put("docs/a b/index.html", "deep");
    assert_body(get("/"), "root");
    assert_string_equal(get("/")->type, "text/html; charset=utf-8");
    assert_body(get("/docs/"), "docs");
    for (int i = 0; i < 2; i++) {
        sl_response *res = get("/docs?x=1&y=%20");
        assert_int_equal(res->status, 301);
        assert_string_equal(field(res, "Location"), "/docs/?x=1&y=%20");
    }
    assert_string_equal(field(get("/docs/a b"), "Location"), "/docs/a%20b/");
    is_absent("/bare");
    is_absent("/bare/");
    is_absent("/docs/index.html/");
    is_absent("/docs/index.html/x");
    is_absent("//docs");
}

IN_TASK(other_methods_are_the_handlers)
{
    set_up();
    put("form", "text");
    assert_null(sl__static_serve(statics, request("POST", "/form", NULL)));
    assert_null(sl__static_serve(statics, request("OPTIONS", "/form", NULL)));
    assert_body(sl__static_serve(statics, request("HEAD", "/form", NULL)), "text");
}

/* ---- What must not be reached ------------------------------------------------------------------------ */

static void nothing_outside(void)
{
    char *secret = sl_printf("%s/secret", base);
    put_aged(secret, "secret", 6, 100);
    put("here.txt", "here");
    mkdir(path_of("sub"), 0755);
    put("sub/file", "file");
    assert_int_equal(symlink("../secret", path_of("relative")), 0);
    assert_int_equal(symlink(secret, path_of("absolute")), 0);
    assert_int_equal(symlink("..", path_of("up")), 0);
    assert_int_equal(symlink("/proc/self/root", path_of("magic")), 0);
    assert_int_equal(symlink("loop", path_of("loop")), 0);
    static const char *const paths[] = {"/../secret",
                                        "/..",
                                        "/sub/../../secret",
                                        "/sub/../here.txt",
                                        "/./here.txt",
                                        "/relative",
                                        "/absolute",
                                        "/up/secret",
                                        "/magic/etc/passwd",
                                        "/loop",
                                        "//etc/passwd",
                                        "/sub//file",
                                        "/sub/..",
                                        "/here.txt/..",
                                        "/sub/../../../../etc/passwd",
                                        "secret",
                                        "",
                                        "*"};
    for (size_t i = 0; i < sl_array_size(paths); i++)
        is_absent(paths[i]);
    assert_body(get("/here.txt"), "here");
    assert_body(get("/sub/file"), "file");
}

IN_TASK(links_and_dots_do_not_leave)
{
    set_up();
    nothing_outside();
    /* A link that stays is a file like others. */
    assert_int_equal(symlink("sub/file", path_of("inside")), 0);
    assert_body(get("/inside"), "file");
}

/* A link to a directory that the application's maker put beside the other files. */
IN_TASK(a_link_to_a_directory_is_a_mount)
{
    set_up();
    char *library = sl_printf("%s/library", base);
    mkdir(library, 0755);
    mkdir(sl_printf("%s/css", library), 0755);
    put_aged(sl_printf("%s/css/base.css", library), "body {}", 7, 100);
    put_aged(sl_printf("%s/secret", base), "secret", 6, 100);
    assert_int_equal(symlink("../../secret", sl_printf("%s/css/out", library)), 0);
    assert_int_equal(symlink("css/base.css", sl_printf("%s/in.css", library)), 0);
    mkdir(path_of("sub"), 0755);
    assert_int_equal(symlink("../library", path_of("media")), 0);
    assert_int_equal(symlink(library, path_of("whole")), 0);
    assert_int_equal(symlink("../../library", path_of("sub/media")), 0);
    assert_body(get("/media/css/base.css"), "body {}");
    assert_body(get("/whole/css/base.css"), "body {}");
    assert_body(get("/media/in.css"), "body {}");
    static const char *const refused[] = {"/media/css/out", "/media/css/../../secret",
                                          "/sub/media/css/base.css", "/media/nothing", "/media/css"};
    for (size_t i = 0; i < sl_array_size(refused); i++)
        is_absent(refused[i]);
}

IN_TASK(what_is_opened_is_beneath)
{
    set_up();
    put_aged(sl_printf("%s/secret", base), "secret", 6, 100);
    put("here.txt", "here");
    mkdir(path_of("sub"), 0755);
    put("sub/file", "file");
    assert_int_equal(symlink("../secret", path_of("relative")), 0);
    assert_int_equal(symlink("..", path_of("up")), 0);
    sl__beneath beneath;
    assert_int_equal(sl__beneath_init(&beneath, path_of("")), 0);
    for (int by_steps = 0; by_steps < 2; by_steps++) { /* by the kernel, and where it cannot */
        beneath.by_steps = by_steps;
        static const char *const inside[] = {"here.txt", "sub/file"};
        static const char *const outside[] = {"../secret",        "relative", "up/secret",
                                              "sub/../../secret", "up",       "/etc/passwd"};
        for (size_t i = 0; i < sl_array_size(inside); i++) {
            int fd = sl__beneath_open(&beneath, inside[i], false);
            assert_true(fd >= 0);
            close(fd);
        }
        for (size_t i = 0; i < sl_array_size(outside); i++) {
            int code = sl__beneath_open(&beneath, outside[i], false);
            if (code >= 0 || !sl__file_absent(code))
                fail_msg("%s was opened, or not refused for what it is: %d", outside[i], code);
        }
        assert_int_equal(sl__beneath_open(&beneath, "nothing", false), -ENOENT);
        assert_int_equal(sl__beneath_open(&beneath, "here.txt/x", false), -ENOTDIR);
    }
    sl__beneath_done(&beneath);
    assert_int_equal(sl__beneath_init(&beneath, path_of("nothing")), -ENOENT);
    assert_int_equal(sl__beneath_init(&beneath, path_of("here.txt")), -ENOTDIR);
}

IN_TASK(encoded_slashes_are_no_slashes)
{
    set_up();
    mkdir(path_of("sub"), 0755);
    put("sub/file", "file");
    sl_request *req = request("GET", "/sub/file", NULL);
    req->target = "/sub%2Ffile";
    assert_null(sl__static_serve(statics, req));
    req->target = "/sub%2ffile";
    assert_null(sl__static_serve(statics, req));
    req->target = "/sub/file?x=%2F";
    assert_body(sl__static_serve(statics, req), "file");
}

IN_TASK(dot_files_are_hidden)
{
    set_up();
    mkdir(path_of(".well-known"), 0755);
    mkdir(path_of(".git"), 0755);
    mkdir(path_of("sub"), 0755);
    mkdir(path_of("sub/.well-known"), 0755);
    put(".env", "x");
    put(".git/config", "x");
    put("sub/.htpasswd", "x");
    put("sub/.well-known/x", "x");
    put(".well-known/security.txt", "contact");
    put(".well-known/.hidden", "x");
    put(".well-knownish", "x");
    assert_body(get("/.well-known/security.txt"), "contact");
    is_absent("/.env");
    is_absent("/.git/config");
    is_absent("/sub/.htpasswd");
    is_absent("/sub/.well-known/x");
    is_absent("/.well-known/.hidden");
    is_absent("/.well-knownish");
}

IN_TASK(only_files_are_files)
{
    set_up();
    assert_int_equal(mkfifo(path_of("pipe"), 0644), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/static/socket", base);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    is_absent("/pipe"); /* and did not wait for a writer */
    is_absent("/socket");
    close(fd);
}

IN_TASK(a_directory_that_is_not_there)
{
    set_up();
    sl__static *none = NULL;
    assert_int_equal(sl__static_new(path_of("nothing"), &none), -ENOENT);
    put("file", "x");
    assert_int_equal(sl__static_new(path_of("file"), &none), -ENOTDIR);
    assert_null(none);
    assert_null(sl__static_free(NULL));
}

/* ---- Conditions, ranges and compression -------------------------------------------------------------- */

static sl_response *prepared(sl_request *req)
{
    sl_response *res = sl__static_serve(statics, req);
    assert_non_null(res);
    sl__content_prepare(req, res);
    return res;
}

IN_TASK(conditional_and_ranges)
{
    set_up();
    put("hello.txt", "hello");
    const char *etag = field(get("/hello.txt"), "ETag");
    sl_response *res = prepared(request("GET", "/hello.txt", "If-None-Match", etag, NULL));
    assert_int_equal(res->status, 304);
    assert_string_equal(field(res, "Cache-Control"), "no-cache");
    res = prepared(request("GET", "/hello.txt", "Range", "bytes=1-3", "If-Range", etag, NULL));
    assert_int_equal(res->status, 206);
    assert_body(res, "ell");
    assert_int_equal(prepared(request("GET", "/hello.txt", "Range", "bytes=5-", NULL))->status, 416);
}

IN_TASK(text_is_compressed_once)
{
    set_up();
    char *data = letters(5000);
    put("page.html", data);
    sl_response *plain = get("/page.html");
    assert_string_equal(field(plain, "Vary"), "Accept-Encoding");
    const char *first = NULL;
    for (int i = 0; i < 2; i++) {
        sl_response *res = prepared(request("GET", "/page.html", "Accept-Encoding", "gzip", NULL));
        assert_string_equal(field(res, "Content-Encoding"), "gzip");
        assert_string_equal(field(res, "Vary"), "Accept-Encoding");
        assert_string_equal(field(res, "ETag"), sl_printf("W/%s", field(plain, "ETag")));
        assert_string_equal(res->type, "text/html; charset=utf-8");
        sl_view back = decoded(body(res), "gzip", 5000);
        assert_memory_equal(back.data, data, 5000);
        if (first)
            assert_ptr_equal(res->segments[0].data, first);
        first = res->segments[0].data;
    }
    sl_response *part =
        prepared(request("GET", "/page.html", "Accept-Encoding", "gzip", "Range", "bytes=0-9", NULL));
    assert_int_equal(part->status, 206);
    assert_null(field(part, "Content-Encoding"));
    put("image.png", data);
    sl_response *image = prepared(request("GET", "/image.png", "Accept-Encoding", "gzip", NULL));
    assert_null(field(image, "Content-Encoding"));
    assert_null(field(image, "Vary"));
}

static void *get_compressed(void *data)
{
    sl_response *res = prepared(request("GET", "/page.html", "Accept-Encoding", "br", NULL));
    const char *coding = field(res, "Content-Encoding");
    sl_view back = coding ? decoded(body(res), coding, 60000) : body(res);
    assert_int_equal(back.size, 60000);
    return NULL;
}

IN_TASK(many_ask_at_once)
{
    set_up();
    put("page.html", letters(60000));
    SL_SCOPE(all)
    {
        for (int i = 0; i < 20; i++)
            sl_go(get_compressed, NULL);
    }
}

IN_TASK(precompressed_neighbours)
{
    set_up();
    put("app.js", "plain");
    put("app.js.br", "as brotli");
    put("app.js.gz", "as gzip");
    put_aged(path_of("app.js.zst"), "too old", 7, 200);
    static const struct {
        const char *accept, *coding, *body;
    } cases[] = {{"gzip", "gzip", "as gzip"},
                 {"gzip, br", "br", "as brotli"},
                 {"gzip, br;q=0.5", "gzip", "as gzip"},
                 {"gzip, zstd", "gzip", "as gzip"},
                 {"zstd", NULL, "plain"},
                 {"identity", NULL, "plain"}};
    const char *plain_tag = field(get("/app.js"), "ETag");
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl_response *res = prepared(request("GET", "/app.js", "Accept-Encoding", cases[i].accept, NULL));
        assert_body(res, cases[i].body);
        assert_string_equal(res->type, "text/javascript; charset=utf-8");
        assert_string_equal(field(res, "Vary"), "Accept-Encoding");
        const char *coding = field(res, "Content-Encoding"), *etag = field(res, "ETag");
        if (cases[i].coding) {
            assert_string_equal(coding, cases[i].coding);
            assert_string_not_equal(etag, plain_tag);
            res = prepared(
                request("GET", "/app.js", "Accept-Encoding", cases[i].accept, "If-None-Match", etag, NULL));
            assert_int_equal(res->status, 304);
        } else {
            assert_null(coding);
            assert_string_equal(etag, plain_tag);
        }
    }
    sl_response *itself = get("/app.js.gz");
    assert_null(field(itself, "Content-Encoding"));
    assert_string_equal(itself->type, "application/gzip");
}

/* A large text goes on to be compressed slice by slice or in a thread. */
IN_TASK(large_text_is_compressed)
{
    set_up();
    char *data = letters(200000);
    put("large.txt", data);
    sl_response *res = prepared(request("GET", "/large.txt", "Accept-Encoding", "zstd", NULL));
    assert_string_equal(field(res, "Content-Encoding"), "zstd");
    sl_view back = decoded(body(res), "zstd", 200000);
    assert_int_equal(back.size, 200000);
    assert_memory_equal(back.data, data, 200000);
}

/* ---- Changes ----------------------------------------------------------------------------------------- */

static void replace(const char *name, const char *text)
{
    put("new.tmp", text);
    assert_int_equal(rename(path_of("new.tmp"), path_of(name)), 0);
}

IN_TASK(what_is_being_sent_stays_as_it_was)
{
    set_up();
    char *old_large = letters(100000), *new_large = letters(150000);
    put("large.bin", old_large);
    put("small.txt", "old");
    sl_response *large = get("/large.bin"), *small = get("/small.txt");
    replace("large.bin", new_large);
    replace("small.txt", "new!");
    grow_stale();
    sl_response *new_small = get("/small.txt");
    assert_body(new_small, "new!");
    assert_body(get("/large.bin"), new_large);
    assert_body(large, old_large);
    assert_body(small, "old");
    assert_string_not_equal(field(small, "ETag"), field(new_small, "ETag"));
}

IN_TASK(changes_show_within_a_second)
{
    set_up();
    is_absent("/later.txt");
    put("page.txt", "one");
    put("gone.txt", "here");
    mkdir(path_of("turns"), 0755);
    put("turns/index.html", "index");
    assert_body(get("/page.txt"), "one");
    assert_body(get("/gone.txt"), "here");
    assert_int_equal(get("/turns")->status, 301);
    put("later.txt", "now");
    put_aged(path_of("page.txt"), "two", 3, 50); /* written over, of the same size */
    unlink(path_of("gone.txt"));
    unlink(path_of("turns/index.html"));
    rmdir(path_of("turns"));
    put("turns", "a file");
    put_aged(path_of("page.txt.gz"), "neighbour", 9, 10);
    grow_stale();
    assert_body(get("/later.txt"), "now");
    assert_body(get("/page.txt"), "two");
    is_absent("/gone.txt");
    assert_body(get("/turns"), "a file");
    assert_body(prepared(request("GET", "/page.txt", "Accept-Encoding", "gzip", NULL)), "neighbour");
    unlink(path_of("page.txt.gz"));
    grow_stale();
    assert_body(prepared(request("GET", "/page.txt", "Accept-Encoding", "gzip", NULL)), "two");
}

IN_TASK(what_did_not_change_is_kept)
{
    set_up();
    put("hello.txt", "hello");
    get("/hello.txt");
    grow_stale();
    const char *first =
        get("/hello.txt")->segments[0].data; /* the file had been changed just before it was read first */
    grow_stale();
    assert_ptr_equal(get("/hello.txt")->segments[0].data, first);
}

IN_TASK(the_directory_itself_is_replaced)
{
    set_up();
    put("page.txt", "one");
    assert_body(get("/page.txt"), "one");
    assert_int_equal(rename(path_of(""), sl_printf("%s/old", base)), 0);
    grow_stale();
    mkdir(path_of(""), 0755);
    put("page.txt", "two!");
    grow_stale();
    assert_body(get("/page.txt"), "two!");
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void *get_large(void *data)
{
    for (int i = 0; i < 100; i++)
        assert_int_equal(get(sl_printf("/large-%zu-%d", (size_t)data, i))->status, 200);
    return NULL;
}

IN_TASK(what_is_kept_is_bounded)
{
    set_up();
    char *data = letters(SL__FILE_IN_MEMORY + 1);
    size_t before = open_descriptors();
    for (size_t round = 0; round < 4; round++) {
        for (int i = 0; i < 100; i++)
            put(sl_printf("large-%zu-%d", round, i), data);
        sl_await(sl_spawn(get_large, (void *)round));
    }
    assert_true(open_descriptors() - before <= 140);
    statics = sl__static_free(statics);
    assert_true(open_descriptors() < before);
}

/* ---- sl_file_response -------------------------------------------------------------------------------- */

IN_TASK(a_file_as_a_response)
{
    set_up();
    char *data = letters(200000);
    put("report.csv", "a,b\r\n");
    put("large.bin", data);
    sl_request *req = request("GET", "/download", NULL);
    sl_response *res = sl_file_response(req, path_of("report.csv"), NULL);
    assert_string_equal(res->type, "text/csv; charset=utf-8");
    assert_body(res, "a,b\r\n");
    assert_non_null(field(res, "ETag"));
    assert_string_equal(sl_file_response(req, path_of("report.csv"), "text/x-report")->type, "text/x-report");
    sl_response *large = sl_file_response(req, path_of("large.bin"), NULL);
    unlink(path_of("large.bin"));
    assert_body(large, data);
}

/* What a file's response needs is the request's, not the block's in which it was made. */
IN_TASK(a_file_response_from_a_scratch_block)
{
    set_up();
    char *data = letters(200000);
    put("large.bin", data);
    sl_request *req = request("GET", "/download", NULL);
    sl_response *res = NULL;
    SL_SCRATCH()
    {
        res = sl_file_response(req, sl_printf("%s", path_of("large.bin")), NULL);
    }
    assert_body(res, data);
}

IN_TASK(a_part_of_an_open_file)
{
    set_up();
    put("digits", "0123456789");
    sl_request *req = request("GET", "/download", NULL);
    int fd = open(path_of("digits"), O_RDONLY | O_CLOEXEC);
    assert_body(sl_open_file_response(req, 200, "text/plain", dup(fd), 2, 3), "234");
    assert_body(sl_open_file_response(req, 200, NULL, dup(fd), 7, UINT64_MAX), "789");
    assert_body(sl_open_file_response(req, 200, NULL, fd, 10, 0), "");
}

static void *respond_past_the_end(void *path)
{
    return sl_open_file_response(request("GET", "/download", NULL), 200, NULL,
                                 open(path, O_RDONLY | O_CLOEXEC), 8, 3);
}

IN_TASK(an_open_file_that_is_too_short)
{
    set_up();
    put("digits", "0123456789");
    const char *const paths[] = {path_of("digits"), "/dev/null"};
    for (size_t i = 0; i < sl_array_size(paths); i++) {
        sl_error *error = NULL;
        sl_try(sl_spawn(respond_past_the_end, (void *)paths[i]), &error);
        assert_non_null(error);
        assert_int_equal(error->code, SL_EINVAL);
    }
}

static void *respond_with(void *path)
{
    return sl_file_response(request("GET", "/download", NULL), path, NULL);
}

IN_TASK(a_response_that_is_no_file)
{
    set_up();
    assert_int_equal(mkfifo(path_of("pipe"), 0644), 0);
    const char *const paths[] = {path_of("nothing"), path_of(""), path_of("pipe"), path_of("nothing/below"),
                                 ""};
    for (size_t i = 0; i < sl_array_size(paths); i++) {
        sl_error *error = NULL;
        sl_try(sl_spawn(respond_with, (void *)paths[i]), &error);
        assert_non_null(error);
        assert_int_equal(error->code, SL_HTTP(404));
        assert_non_null(strstr(error->message, paths[i]));
    }
}

static void media_types(void **state)
{
    static const char *const cases[][2] = {
        {"a.html", "text/html; charset=utf-8"},
        {"A.HTML", "text/html; charset=utf-8"},
        {"app.mjs", "text/javascript; charset=utf-8"},
        {"style.css", "text/css; charset=utf-8"},
        {"x.wasm", "application/wasm"},
        {"site.webmanifest", "application/manifest+json"},
        {"p.avif", "image/avif"},
        {"f.woff2", "font/woff2"},
        {"i.svg", "image/svg+xml"},
        {"v.webm", "video/webm"},
        {"a.tar.gz", "application/gzip"},
        {"z.3gp", "video/3gpp"},
        {"z.zst", "application/zstd"},
        {"README", "application/octet-stream"},
        {"dir.html/file", "application/octet-stream"},
        {"x.", "application/octet-stream"},
        {"x.unknown", "application/octet-stream"},
        {"", "application/octet-stream"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++)
        assert_string_equal(sl__media_type(cases[i][0]), cases[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_file),
        cmocka_unit_test(a_large_file_is_sent_from_its_descriptor),
        cmocka_unit_test(an_empty_file),
        cmocka_unit_test(names_of_every_kind),
        cmocka_unit_test(directories),
        cmocka_unit_test(other_methods_are_the_handlers),
        cmocka_unit_test(links_and_dots_do_not_leave),
        cmocka_unit_test(a_link_to_a_directory_is_a_mount),
        cmocka_unit_test(what_is_opened_is_beneath),
        cmocka_unit_test(encoded_slashes_are_no_slashes),
        cmocka_unit_test(dot_files_are_hidden),
        cmocka_unit_test(only_files_are_files),
        cmocka_unit_test(a_directory_that_is_not_there),
        cmocka_unit_test(conditional_and_ranges),
        cmocka_unit_test(text_is_compressed_once),
        cmocka_unit_test(many_ask_at_once),
        cmocka_unit_test(precompressed_neighbours),
        cmocka_unit_test(large_text_is_compressed),
        cmocka_unit_test(what_is_being_sent_stays_as_it_was),
        cmocka_unit_test(changes_show_within_a_second),
        cmocka_unit_test(what_did_not_change_is_kept),
        cmocka_unit_test(the_directory_itself_is_replaced),
        cmocka_unit_test(what_is_kept_is_bounded),
        cmocka_unit_test(a_file_as_a_response),
        cmocka_unit_test(a_file_response_from_a_scratch_block),
        cmocka_unit_test(a_part_of_an_open_file),
        cmocka_unit_test(an_open_file_that_is_too_short),
        cmocka_unit_test(a_response_that_is_no_file),
        cmocka_unit_test(media_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
