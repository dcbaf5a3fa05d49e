/* library.h: books, and who has borrowed them. */
#pragma once

#include <silver/silver.h>

#define STATES(V) V(NEW, "new") V(USED, "used") V(TORN, "torn")
SL_ENUM(state, STATES);

#define AUTHOR(F)                  \
    F(id, integer, SL_PRIMARY_KEY) \
    F(name, text, SL_REQUIRED, SL_UNIQUE, .max = 80)
SL_MODEL(author, AUTHOR);

#define BOOK(F)                             \
    F(id, integer, SL_PRIMARY_KEY)          \
    F(title, text, SL_REQUIRED, .max = 200) \
    F(author, refers(author), SL_REQUIRED)  \
    F(year, integer)                        \
    F(price, decimal, .scale = 2)           \
    F(state, enum(state), SL_DEFAULT("new"))
SL_MODEL(book, BOOK, SL_TOGETHER("author, title"));
