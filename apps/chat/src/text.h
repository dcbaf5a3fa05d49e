/* text.h: what people type, made fit to keep and to show.
 *
 * Everything here works in a task and allocates in its arena. Text is UTF-8: libsilver lets nothing else in.
 */
#pragma once

#include <silver/silver.h>

enum {
    NAME_LIMIT = 32,   /* characters of a person's name */
    ROOM_LIMIT = 48,   /* characters of a room's name */
    BODY_LIMIT = 4000, /* characters of a message */
    NONCE_LIMIT = 64,  /* bytes of the mark by which a message that is sent twice is known */
    COLOURS = 12,      /* .colour-0 … .colour-11 in style.css */
};

/* One line: trimmed, runs of white space made one space. NULL stands for "". */
const char *tidy_line(const char *text);
/* Several lines: trimmed at both ends, newlines as "\n" alone, without control characters. NULL stands for
 * "". */
const char *tidy_lines(const char *text);

/* What is wrong with it, as a sentence for who typed it; or NULL. They take text that is tidy. */
const char *wrong_name(const char *name);
const char *wrong_room(const char *room);
const char *wrong_body(const char *body);
/* Both in one: validators of the columns that keep such text (models.h). */
const char *check_name(sl_value *name);
const char *check_room(sl_value *room);
const char *check_body(sl_value *body);

/* The colour that somebody has everywhere, from 0 to COLOURS - 1: it depends on the name alone. */
int colour_of(const char *name);

/* The text in pieces, [{"text": "See ", "link": false}, {"text": "https://example.org/", "link": true}]: so
 * neither the templates nor the script ever make markup out of what somebody typed. */
json_t *pieces_of(const char *body);
