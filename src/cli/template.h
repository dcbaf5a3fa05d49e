/* template.h: the files that `silver init` lays out. They stand in src/cli/template…/ and are made into C at
 * build time by tools/embed.py, so that the command needs nothing beside itself. */
#pragma once

#include <stddef.h>

typedef struct sl__cli_template_file {
    const char *path; /* NAME in it is the application's name */
    const char *text; /* so is @NAME@ in it */
} sl__cli_template_file;

/* An application in C, and two in Python. Each ends with a path of NULL, and is sorted by path. */
extern const sl__cli_template_file sl__cli_template[], sl__cli_template_wsgi[], sl__cli_template_asgi[];
