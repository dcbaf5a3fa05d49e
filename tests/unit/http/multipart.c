/* Forms with files: parts, names, what is refused, cut at every place. */
#include "wire.h"
#include "http/multipart.h"

static const sl__multipart_limits small = {3, 120, 3};

/* Shows parts as (name|filename|type:content) and ends with "." once the form is complete. */
static char *run(const void *context, const char *data, size_t size, size_t first, size_t step)
{
    sl__multipart p;
    sl_buffer out = {0};
    sl_buffer_puts(&out, "");
    int got = sl__multipart_init(&p, context, &small);
    bool more = got == 0;
    for (size_t at = 0, next = first; more && got == 0; next = size - next < step ? size : next + step) {
        char *piece = wire_copy(data + at, next - at);
        sl_view input = {piece, next - at};
        while ((got = sl__multipart_next(&p, &input)) > 0) {
            if (got == SL__PART_BEGIN)
                sl_buffer_printf(&out, "(%s|%s|%s:", p.part.name, p.part.filename ? p.part.filename : "-",
                                 p.part.type ? p.part.type : "-");
            else if (got == SL__PART_DATA)
                sl_buffer_put(&out, p.data.data, p.data.size);
            else
                sl_buffer_puts(&out, got == SL__PART_FINISH ? ")" : ".");
        }
        assert_true(got < 0 || input.size == 0);
        at = next;
        more = next < size;
        free(piece);
    }
    if (got < 0) {
        sl_view none = {"x", 1};
        assert_int_equal(sl__multipart_next(&p, &none), got);
        out.size = 0;
        sl_buffer_printf(&out, "%d %s", -10000 - got, p.reason);
    }
    sl__multipart_done(&p);
    sl__multipart_done(&p);
    return out.data;
}

#define TYPE "multipart/form-data; boundary=b-1"
#define CHECK(input, expected) wire_check(run, TYPE, "" input, sizeof(input) - 1, expected)
#define NAME(rest) "--b-1\r\nContent-Disposition: form-data; " rest "\r\n\r\n"
#define A NAME("name=a")
#define END "\r\n--b-1--\r\n"

static void understood(void **state)
{
    CHECK(A "1" END, "(a|-|-:1).");
    CHECK(A "1\r\n" NAME("name=\"b c\"") "2" END, "(a|-|-:1)(b c|-|-:2).");
    CHECK(A END, "(a|-|-:).");
    CHECK("--b-1--", ".");
    CHECK("--b-1--\r\nepilogue\r\n--b-1\r\n", ".");
    CHECK("preamble\r\nof two lines\r\n" A "1" END, "(a|-|-:1).");
    CHECK("\r\n" A "1" END, "(a|-|-:1).");
    CHECK("--b-1 \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1" END, "(a|-|-:1).");
    CHECK("--b-1\r\nX-Other: 1\r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION: Form-Data; "
          "NAME=a\r\n\r\n1" END,
          "(a|-|text/plain:1).");
    CHECK("--b-1\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: binary\r\n\r\n1" END,
          "(a|-|-:1).");
    CHECK(A "1", "(a|-|-:1");
    CHECK(A "1\r\n--b-1", "(a|-|-:1)");
    CHECK("", "");
}

static void what_looks_like_a_boundary_is_content(void **state)
{
    CHECK(A "\r\n\r\n--b-\r\n--b" END, "(a|-|-:\r\n\r\n--b-\r\n--b).");
    CHECK(A "\r\r\n\r\r\n-\r\n-\r" END, "(a|-|-:\r\r\n\r\r\n-\r\n-\r).");
    CHECK(A "--b-1--" END, "(a|-|-:--b-1--).");
    CHECK(A "x--b-1\n--b-1" END, "(a|-|-:x--b-1\n--b-1).");
}

static void filenames(void **state)
{
#define FILENAME(rest, expected) CHECK(NAME("name=f; " rest) "x" END, "(f|" expected "|-:x).")
    FILENAME("filename=\"a b.txt\"", "a b.txt");
    FILENAME("filename=a.txt", "a.txt");
    FILENAME("filename=\"\"", "");
    FILENAME("filename=\"C:\\dir\\a.txt\"", "a.txt");
    FILENAME("filename=\"../../etc/passwd\"", "passwd");
    FILENAME("filename=\"/\"", "");
    FILENAME("filename=\"..\"", "");
    FILENAME("filename=\"a/.\"", "");
    FILENAME("filename=\".hidden\"", ".hidden");
    FILENAME("filename=\"a\\\"b;c\"", "a\"b;c");
    FILENAME("filename=\"caf\xc3\xa9\"", "caf\xc3\xa9");
    FILENAME("filename=\"a%22b\"", "a%22b");
    FILENAME("filename*=UTF-8''caf%C3%A9", "caf\xc3\xa9");
    FILENAME("filename=\"plain\"; filename*=utf-8'en'%e2%82%ac.txt", "\xe2\x82\xac.txt");
    FILENAME("filename*=UTF-8''..%2f..%2Fx", "x");
    FILENAME("filename*=UTF-8''a%5Cx", "x");
#define BAD_FILENAME(rest, why) CHECK(NAME("name=f; " rest) "x" END, "400 " why)
    BAD_FILENAME("filename=a; filename=b", "a part's Content-Disposition has several filenames");
    BAD_FILENAME("filename*=UTF-8''%ff", "a part's filename is not UTF-8 or has control characters");
    BAD_FILENAME("filename=\"\xff\"", "a part's filename is not UTF-8 or has control characters");
    BAD_FILENAME("filename=\"a\tb\"", "a part's filename is not UTF-8 or has control characters");
    BAD_FILENAME("filename*=UTF-8''a%0d%0ab", "a part's filename is not UTF-8 or has control characters");
    BAD_FILENAME("filename*=UTF-8''a%00", "a part's filename* is not UTF-8 in percent-encoding");
    BAD_FILENAME("filename*=UTF-8''a%4", "a part's filename* is not UTF-8 in percent-encoding");
    BAD_FILENAME("filename*=UTF-8'a", "a part's filename* is not UTF-8 in percent-encoding");
    BAD_FILENAME("filename*=ISO-8859-1''a", "a part's filename* is not UTF-8 in percent-encoding");
    BAD_FILENAME("filename*=a", "a part's filename* is not UTF-8 in percent-encoding");
}

static void refused(void **state)
{
#define MALFORMED "400 a part's Content-Disposition has no name, several, or is malformed"
    CHECK(NAME("filename=x"), MALFORMED);
    CHECK(NAME("name=a; name=b"), MALFORMED);
    CHECK(NAME("name=\"a"), MALFORMED);
    CHECK(NAME("name"), MALFORMED);
    CHECK("--b-1\r\nContent-Disposition: attachment; name=a\r\n\r\n",
          "400 a part's Content-Disposition is not form-data");
    CHECK("--b-1\r\n\r\n", "400 a part has no Content-Disposition");
    CHECK("--b-1\r\nContent-Type: text/plain\r\n\r\n", "400 a part has no Content-Disposition");
    CHECK(NAME("name=\"\xff\""), "400 a part's name is not UTF-8 or has control characters");
    CHECK(NAME("name=a\r\nContent-Disposition: form-data; name=b"),
          "400 a part has several Content-Disposition fields");
    CHECK(NAME("name=a\r\nContent-Type: a/b\r\nContent-Type: a/b"),
          "400 a part has several Content-Type fields");
    CHECK(NAME("name=a\r\nContent-Transfer-Encoding: base64"),
          "400 a part has a Content-Transfer-Encoding, which forms do not use");
    CHECK(NAME("name=a\r\n folded"),
          "400 a field line begins with white space: folded lines are not accepted");
    CHECK(NAME("name=a\r\nX : 1"), "400 there is white space between a field's name and its colon");
    CHECK(NAME("name=a\r\nX: \x01"), "400 there is a control character in a field's value");
    CHECK(NAME("name=a\r\nX: a\nb"), "400 a line of a part's header ends with LF without CR");
    CHECK(NAME("name=a\r\nX: a\rb"), "400 there is a CR without LF in a part's header");
    CHECK("--b-1\r\n\rX: a\r\n", "400 there is a CR without LF in a part's header");
    CHECK("--b-1x\r\n", "400 a boundary is followed by something else on its line");
    CHECK(A "\r\n--b-1x\r\n", "400 a boundary is followed by something else on its line");
    CHECK("--b-1 -\r\n", "400 a boundary is followed by something else on its line");
    CHECK("--b-1\n", "400 a boundary is followed by something else on its line");
    CHECK("--b-1\rx", "400 there is a CR without LF after a boundary");
    CHECK("--b-1-x", "400 a boundary is followed by a single dash");
}

static void limits(void **state)
{
    CHECK(A "\r\n" A "\r\n" A "3" END, "(a|-|-:)(a|-|-:)(a|-|-:3).");
    CHECK(A "\r\n" A "\r\n" A "\r\n" A "4" END, "413 the form has more parts than the limit");
    CHECK(NAME("name=a\r\nX: 1\r\nY: 2") END, "(a|-|-:).");
    CHECK(NAME("name=a\r\nX: 1\r\nY: 2\r\nZ: 3") END,
          "413 the header of a part has more lines than the limit");
#define FIFTY "01234567890123456789012345678901234567890123456789"
    CHECK(NAME("name=a\r\nX: " FIFTY FIFTY) END, "413 the header of a part is longer than the limit");
    /* 45 bytes are the first line with its end, 5 the second without its value. */
    CHECK(NAME("name=a\r\nX: " FIFTY "01234567890123456789") END, "(a|-|-:).");
    CHECK(NAME("name=a\r\nX: " FIFTY "0123456789012345678901234567890") END,
          "413 the header of a part is longer than the limit");
    CHECK("--b-1" FIFTY, "400 a boundary is followed by something else on its line");

    sl_buffer preamble = {0};
    while (preamble.size <= SL__MULTIPART_PREAMBLE_MAX)
        sl_buffer_puts(&preamble, "x\r\n-");
    char *got = run(TYPE, preamble.data, preamble.size, 0, 13);
    assert_string_equal(got, "400 the form does not begin with its boundary");
    free(got);
    sl_buffer_done(&preamble);
}

static int begin(const char *type)
{
    sl__multipart p;
    int got = sl__multipart_init(&p, type, NULL);
    sl__multipart_done(&p);
    return got;
}

#define SEVENTY FIFTY "01234567890123456789"
static void boundaries(void **state)
{
    assert_int_equal(begin(TYPE), 0);
    assert_int_equal(begin("Multipart/Form-Data ; charset=x; Boundary=\"a b:?=\""), 0);
    assert_int_equal(begin("multipart/form-data; boundary=" SEVENTY), 0);
    assert_int_equal(begin("multipart/form-data; boundary=" SEVENTY "1"), SL_HTTP(400));
    assert_int_equal(begin("multipart/form-data"), SL_HTTP(400));
    assert_int_equal(begin("multipart/form-data; boundary="), SL_HTTP(400));
    assert_int_equal(begin("multipart/form-data; boundary=\"\""), SL_HTTP(400));
    assert_int_equal(begin("multipart/form-data; boundary=\"a \""), SL_HTTP(400));
    assert_int_equal(begin("multipart/form-data; boundary=\"a\\\"\""), SL_HTTP(400));
    assert_int_equal(begin("multipart/form-data; boundary=a; boundary=b"), SL_HTTP(400));
    assert_int_equal(begin("multipart/mixed; boundary=a"), SL_HTTP(415));
    assert_int_equal(begin("multipart/form-datax; boundary=a"), SL_HTTP(415));
    assert_int_equal(begin(""), SL_HTTP(415));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understood), cmocka_unit_test(what_looks_like_a_boundary_is_content),
        cmocka_unit_test(filenames),  cmocka_unit_test(refused),
        cmocka_unit_test(limits),     cmocka_unit_test(boundaries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
