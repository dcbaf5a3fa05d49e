/* worker.h: the child's side, for silver-worker and for other programs that do a service's work. */
#pragma once

#include "subsystem/wire.h"
#include "subsystem/hello.h"

/* Makes this process a child that dies with its parent, and opens its end of the wire. SL_ECLOSED: it was
 * started by hand, or the parent has died meanwhile. */
SL_API int sl__worker_join(sl__wire **ret_wire);
/* Loads `module` and serves its service `name` until the parent says stop or is gone. The exit status. */
SL_API int sl__worker_run(const char *name, const char *module);
