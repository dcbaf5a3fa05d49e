/* check.h: what each test of the subsystems includes. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <silver/core.h>
#include <errno.h>

/* cmocka's assertions jump, which must not happen across a task's switch: in tasks use this. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* The await fails with this code, and its message contains the text. */
#define CHECK_FAILS(deferred, wanted, text)                                                                  \
    __extension__({                                                                                          \
        sl_error *check_error = NULL;                                                                        \
        sl_try((deferred), &check_error);                                                                    \
        if (!check_error || check_error->code != (wanted) || !strstr(check_error->message, (text))) {        \
            fprintf(stderr, "%s:%d: wanted %d \"%s\", got %d \"%s\"\n", __FILE__, __LINE__, (wanted),        \
                    (text), check_error ? check_error->code : 0,                                             \
                    check_error ? check_error->message : "a success");                                       \
            abort();                                                                                         \
        }                                                                                                    \
        check_error;                                                                                         \
    })
