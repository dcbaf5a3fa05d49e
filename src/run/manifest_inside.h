/* manifest_inside.h: what the two files that read app.ini share. manifest.c knows sections, keys and lines;
 * manifest_values.c what may stand behind a key. */
#pragma once

#include "run/manifest.h"

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

/* Where a value is set, and where what is wrong with it is told. */
struct setting {
    struct manifest *manifest;
    struct complaints *complaints;
    int line;
};

#define COMPLAIN(setting, kind, ...)                                                                         \
    complaints_add((setting)->complaints, (kind), (setting)->manifest->path, (setting)->line, __VA_ARGS__)

/* `service.sqlite.NAME =`. */
#define SQLITE_PREFIX "service.sqlite."
void manifest_add_sqlite(struct setting *setting, const char *name, const char *value);
/* Sets what the key is about, or complains. */
void manifest_set(struct setting *setting, const struct key *key, const char *value);
