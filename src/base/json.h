/* json.h: JSON as text. Writing it, jansson calls itself for each level, with a frame that the stack of a
 * task bears some 900 times: what is nested deeper than the limit is refused, and so is what contains itself.
 * Reading, it needs less, and has a limit of its own (2048 levels). */
#pragma once

#include <silver/base.h>

#include <jansson.h>

#define SL__JSON_DEPTH_MAX 512
#define SL__JSON_TOO_DEEP "is nested too deep: 512 levels at most" /* words for a message */

bool sl__json_too_deep(const json_t *json);
/* Compact, of any JSON value; malloc'ed. NULL with words for a message where it cannot be written, also for
 * NULL. */
char *sl__json_text(const json_t *json, const char **ret_wrong);
