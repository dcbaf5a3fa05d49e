/* accept.h: the lists in field values: tokens with commas between them, with weights and parameters (RFC
 * 9110, sections 5.6 and 12.5). */
#pragma once

#include <silver/base.h>

/* How much the client wants this content coding, 0 (not at all) … 1000, by the value of its Accept-Encoding
 * field (several lines: joined with commas). A name compares without case, and the exact name wins over "*".
 * A coding that is not listed is not wanted: 0; but "identity" is always acceptable, with the least weight
 * (1), unless "identity;q=0" or, where it is not named, "*;q=0" forbids it. An empty value asks for identity
 * only. A malformed element, its weight included, counts as not there. A missing field is the caller's: RFC
 * 9110 then allows any coding, but it is wiser to send identity. */
int sl__accept_quality(const char *field_value, const char *coding);

/* The same for a media type ("text/html") and an Accept field: the exact type wins over "text" and a star,
 * that over two stars. 0 if none matches. Parameters other than q make a range more specific than we ask for:
 * such an element matches only without them. */
int sl__accept_media_quality(const char *field_value, const char *type);

/* Whether a list of tokens (Connection, Upgrade, Vary) has this one; without case. */
bool sl__list_has(const char *list, const char *token);

/* Walks a list with commas: the next element without the white space around it; empty ones are skipped,
 * commas in quoted strings do not part. *cursor starts as the field's value; false at the end. */
bool sl__list_next(const char **cursor, sl_view *ret_element);

/* The parameter of that name in 'value; name=token; name="quoted"': 1 with its raw view, and *ret_quoted
 * saying whether it stood in quotes (whose inside may have backslashes); 0 if it is not there; SL_EPARSE if
 * it is there twice or any parameter is malformed. */
int sl__parameter(sl_view element, const char *name, sl_view *ret_value, bool *ret_quoted);
