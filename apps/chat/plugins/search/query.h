/* query.h: what people type into the search field, understood.
 *
 *     fish soup            messages with both words, in any form of their letters ("Fish", "fïsh")
 *     "fish soup"          with the words side by side
 *     fis*  "fish so"*     with a word that begins so
 *     -cold  -"ice cream"  without that
 *     author:Ada  author:"Ada Lovelace"  room:kitchen      by one of those named, in one of those rooms
 *     -author:Ada  -room:kitchen
 *     before:2026-11-21  after:2026-11  after:2025         sent before that day began, after that month was
 * over
 *
 * Everything else is a word, whatever it looks like. Nothing that can be typed is an error: what makes no
 * sense is answered with a sentence. */
#pragma once

#include <locale.h>
#include <silver/silver.h>

enum { SEARCH_TERMS = 32 };

struct search_names {
    size_t count;
    const char *keys[SEARCH_TERMS]; /* folded */
};

struct search_wanted {
    const char *match;   /* FTS5's expression for what must be there; NULL: any message */
    const char *without; /* for what must not; or NULL */
    struct search_names authors, not_authors, rooms, not_rooms;
    int64_t from_ms, until_ms; /* sent in this time, the end not included */
    const char *wrong;         /* the sentence; all else is meaningless then. NULL: it makes sense */
};

/* Understands a query. What it gives lies in the arena. Takes any bytes. */
void search_parse(sl_arena *arena, const char *query, struct search_wanted *ret_wanted);

/* The letters of all languages, for search_fold; freed with freelocale. */
locale_t search_letters(void);
/* A name with its letters made small, so that names that differ only in that are the same. */
const char *search_fold(sl_arena *arena, locale_t letters, const char *name);
