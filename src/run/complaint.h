/* complaint.h: what is wrong with an application directory, collected so that all of it can be told at once.
 *
 * Each complaint says what is wrong, where, and what to do, and has a stable number that documentation and
 * searches can hold on to. A number is never given to another meaning. */
#pragma once

#include <silver/base.h>
#include <stdio.h>

#define RUN_COMPLAINTS(X)                                                                                    \
    X(MANIFEST_UNREADABLE, "SL0101", "the manifest cannot be read")                                          \
    X(MANIFEST_SYNTAX, "SL0102", "a line is neither a section nor `key = value`")                            \
    X(MANIFEST_TOO_LONG, "SL0103", "a line or the whole manifest is too long")                               \
    X(MANIFEST_SECTION, "SL0104", "a section is unknown")                                                    \
    X(MANIFEST_KEY, "SL0105", "a key is unknown")                                                            \
    X(MANIFEST_DUPLICATE, "SL0106", "a key is given twice")                                                  \
    X(MANIFEST_MISSING, "SL0107", "a key that must be there is missing")                                     \
    X(MANIFEST_VALUE, "SL0108", "a value is not of the kind that the key takes")                             \
    X(MANIFEST_OUTSIDE, "SL0109", "a key stands before the first section")                                   \
    X(LAYOUT_RUNNER, "SL0120", "the runner's file is missing or of no kind that can be run")                 \
    X(LAYOUT_DIRECTORY, "SL0121", "the application's directory is missing or not laid out as one")           \
    X(LAYOUT_PLUGIN, "SL0122", "a plug-in is missing, or there are two of its name")                         \
    X(BUILD_FAILED, "SL0130", "the application does not compile or link")                                    \
    X(BUILD_TOOL, "SL0131", "the compiler or a library that the build needs is missing")                     \
    X(PYTHON_PACKAGE, "SL0132",                                                                              \
      "a Python package that the application asks for is missing, or too old or new")                        \
    X(PYTHON_VIRTUALENV, "SL0133", "the virtualenv is missing, or made for another Python")                  \
    X(TEMPLATE_WRONG, "SL0140", "a template cannot be parsed, or names a file that is not there")            \
    X(SCHEMA_PATCH, "SL0150", "a patch in schema/ cannot be applied, or the patches do not fit together")    \
    X(SCHEMA_STORE, "SL0151", "the application keeps models or patches, and has no database")

enum run_complaint {
#define RUN__COMPLAINT(name, number, meaning) RUN_##name,
    RUN_COMPLAINTS(RUN__COMPLAINT)
#undef RUN__COMPLAINT
};

struct complaint {
    enum run_complaint kind;
    char *file;                    /* NULL: nowhere in particular */
    int line, column;              /* from 1; 0 is unknown */
    char *message, *hint, *detail; /* the last two may be NULL */
};

/* Zero-initialised is empty. At most RUN_COMPLAINTS_MAX are kept. */
struct complaints {
    struct complaint *items;
    size_t count;
};
#define RUN_COMPLAINTS_MAX 100

/* The number ("SL0101") of a kind. Static. */
const char *complaint_number(enum run_complaint kind);
/* Adds one and returns it, for its hint and detail (malloc'ed strings, which it takes over). */
struct complaint *complaints_add(struct complaints *list, enum run_complaint kind, const char *file, int line,
                                 const char *format, ...) SL_PRINTF(5, 6);
void complaints_done(struct complaints *list);
/* Prints all in order: "FILE:LINE: SL0105: message", then the hint and the detail on lines of their own. */
void complaints_print(const struct complaints *list, FILE *out);
