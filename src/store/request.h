/* request.h: the transaction of a request, for the web room. */
#pragma once

#include <silver/store.h>

/* Runs fn(data) in the transaction of a request (`safe`: GET and the like, which are not expected to write),
 * as sl_transact would. Where the root has no stores it only calls it. */
SL_API void *sl__transact_request(const sl_site *site, sl_task_fn *fn, void *data, bool safe);
