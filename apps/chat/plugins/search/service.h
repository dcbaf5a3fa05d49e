/* service.h: the service `search`, as those who call it and those who carry it out know it. */
#pragma once

#include <silver/silver.h>

enum {
    SEARCH_CHARACTERS = 500, /* of what is looked for */
    SEARCH_PAGE = 20,        /* hits, unless more are asked for */
    SEARCH_PAGE_MAX = 100,
    SEARCH_COUNTED = 1000, /* hits are counted up to this */
};

/* What the index knows of a message. */
#define SEARCH_DOCUMENT(F)                                                                                   \
    F(id, integer)                                                                                           \
    F(room, text, SL_REQUIRED)                                                                               \
    F(author, text, SL_REQUIRED)                                                                             \
    F(body, text, SL_REQUIRED)                                                                               \
    F(sent, time)
SL_RECORD(search_document, SEARCH_DOCUMENT);

#define SEARCH_DOCUMENTS(F) F(items, list(search_document))
SL_RECORD(search_documents, SEARCH_DOCUMENTS);

#define SEARCH_QUERY(F)                                                                                      \
    F(words, text, SL_REQUIRED)                                                                              \
    F(offset, integer)                                                                                       \
    F(limit, integer)
SL_RECORD(search_query, SEARCH_QUERY);

/* Text is never markup: a hit comes in pieces, and those that were looked for are marked. */
#define SEARCH_PIECE(F)                                                                                      \
    F(text, text)                                                                                            \
    F(marked, boolean)
SL_RECORD(search_piece, SEARCH_PIECE);

#define SEARCH_HIT(F)                                                                                        \
    F(id, integer)                                                                                           \
    F(room, text)                                                                                            \
    F(author, text)                                                                                          \
    F(sent, time)                                                                                            \
    F(pieces, list(search_piece))
SL_RECORD(search_hit, SEARCH_HIT);

/* `wrong` says, in a sentence for who typed it, why nothing was looked for; or it is NULL. */
#define SEARCH_FOUND(F)                                                                                      \
    F(total, integer)                                                                                        \
    F(more_than_total, boolean)                                                                              \
    F(hits, list(search_hit))                                                                                \
    F(wrong, text)
SL_RECORD(search_found, SEARCH_FOUND);

/* index adds documents, or replaces those of the same number. catch_up reads what is new in the chat's
 * history. flush does that, too, and returns when all is on the disk. query catches up first, so that
 * whatever was acknowledged before it is found. */
#define SEARCH(M)                                                                                            \
    M(query, search_query, search_found, SL_IDEMPOTENT)                                                      \
    M(index, search_documents, sl_nothing, SL_IDEMPOTENT)                                                    \
    M(catch_up, sl_nothing, sl_nothing, SL_IDEMPOTENT)                                                       \
    M(flush, sl_nothing, sl_nothing, SL_IDEMPOTENT)
SL_SERVICE(search, 1, SEARCH);

/* service.c: how it is carried out. */
extern const struct search_methods search_methods;
void search_open(void);
void search_close(void);
/* Where the index lies: beside the chat's history; and that. Fail where there is none. In a task. */
const char *search_index_path(void);
const char *search_history_path(void);
