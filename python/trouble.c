/* trouble.c: from exceptions to what the parent is told of them. */
#include "embed.h"
#include "port.h"

#include <stdlib.h>

#define PLACES_MAX 16 /* the origin, and as many more as an error keeps */

/* Exceptions while an exception is described are the last that we may rely on: then its type must do. */
static PyObject *describe(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    PyObject *description = value ? embed_call("_trouble", "describe", "O", value) : NULL;
    if (!description) {
        PyErr_Clear();
        const char *name = type && PyType_Check(type) ? ((PyTypeObject *)type)->tp_name : "an exception";
        description = Py_BuildValue("(is ss[])", SL_EFAILED, name, "", "");
        PyErr_Clear();
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return description;
}

static const char *text_of(PyObject *item)
{
    const char *text = item && PyUnicode_Check(item) ? PyUnicode_AsUTF8(item) : NULL;
    if (!text)
        PyErr_Clear();
    return text ? text : "";
}

/* Of the tuples (file, line, function). */
static size_t read_places(PyObject *list, struct sl__place places[static PLACES_MAX])
{
    size_t count = 0;
    for (Py_ssize_t i = 0; PyList_Check(list) && i < PyList_GET_SIZE(list) && count < PLACES_MAX; i++) {
        PyObject *place = PyList_GET_ITEM(list, i);
        if (!PyTuple_Check(place) || PyTuple_GET_SIZE(place) != 3)
            continue;
        places[count++] = (struct sl__place){.file = text_of(PyTuple_GET_ITEM(place, 0)),
                                             .line = PyLong_AsLong(PyTuple_GET_ITEM(place, 1)),
                                             .function = text_of(PyTuple_GET_ITEM(place, 2))};
    }
    PyErr_Clear();
    return count;
}

static void put(const struct sl__trouble *trouble, sl_buffer *out)
{
    sl_error *error = NULL;
    size_t before = out->size;
    if (sl_codec_flat.encode(sl__trouble_record(), trouble, out, NULL, &error) == 0)
        return;
    out->size = before;
    sl_error_unref(error);
    struct sl__trouble plain = {.code = SL_EFAILED, .message = "an error that cannot be described"};
    if (sl_codec_flat.encode(sl__trouble_record(), &plain, out, NULL, &error) < 0)
        sl_error_unref(error);
}

void trouble_put(sl_buffer *out)
{
    PyObject *description = describe();
    struct sl__place places[PLACES_MAX];
    struct sl__trouble trouble = {.code = SL_EFAILED, .message = "out of memory"};
    if (description && PyTuple_Check(description) && PyTuple_GET_SIZE(description) == 5) {
        trouble.code = PyLong_AsLong(PyTuple_GET_ITEM(description, 0));
        trouble.message = text_of(PyTuple_GET_ITEM(description, 1));
        trouble.detail = text_of(PyTuple_GET_ITEM(description, 2));
        trouble.hint = text_of(PyTuple_GET_ITEM(description, 3));
        trouble.hint = trouble.hint[0] ? trouble.hint : NULL;
        trouble.places.items = places;
        trouble.places.count = read_places(PyTuple_GET_ITEM(description, 4), places);
    }
    put(&trouble, out);
    Py_XDECREF(description);
}

void trouble_put_error(const sl_error *error, sl_buffer *out)
{
    struct sl__place place = {.file = error->origin ? error->origin->file : "",
                              .line = error->origin ? error->origin->line : 0,
                              .function = error->origin ? error->origin->function : ""};
    struct sl__trouble trouble = {.code = error->code,
                                  .message = error->message,
                                  .detail = error->detail,
                                  .hint = error->hint,
                                  .told = sl__error_words(error),
                                  .places = {.count = 1, .items = &place}};
    put(&trouble, out);
}

void trouble_log(struct port *port, const char *words)
{
    PyObject *description = describe();
    sl_buffer text = {0};
    sl_buffer_puts(&text, words);
    if (description && PyTuple_Check(description) && PyTuple_GET_SIZE(description) == 5)
        sl_buffer_printf(&text, ": %s\n%s", text_of(PyTuple_GET_ITEM(description, 1)),
                         text_of(PyTuple_GET_ITEM(description, 2)));
    port_log(port, SL_ERROR, "", text.data);
    sl_buffer_done(&text);
    Py_XDECREF(description);
}
