/* cache.h: what was built, kept by its content.
 *
 * An entry's name is the digest of everything that it was made from, so an entry is right or absent, and
 * never stale. It is written beside and renamed: whoever looks, and whoever dies in between, leaves it whole
 * or absent. */
#pragma once

#include <silver/base.h>

#define CACHE_BYTES_MAX (128u << 20)
#define CACHE_ENTRIES_MAX 2000

/* The directory, made where it is missing: $XDG_CACHE_HOME/silver, ~/.cache/silver, or APPLICATION/.silver if
 * those cannot be written or are not ours alone. malloc'ed. */
int cache_directory(const char *application, char **ret_path, sl_error **ret_error);
/* The path of an entry. malloc'ed. */
char *cache_path(const char *cache, const char *name, const char *suffix);
/* A path beside the entries to write to, of this process alone. malloc'ed. */
char *cache_temporary(const char *cache, const char *suffix);
/* Whether the entry is there; marks it as used. */
bool cache_has(const char *path);
/* Makes a temporary file the entry. 0 or a code; the temporary file is gone in any case. */
int cache_keep(const char *temporary, const char *path);
/* Removes what was not used for longest beyond the limits above, and temporary files left by the dead.
 * Nothing used in the last hour goes. */
void cache_sweep(const char *cache);
