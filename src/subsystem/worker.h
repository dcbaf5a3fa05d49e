/* worker.h: the child's side, for silver-worker and for other programs that do a service's work. */
#pragma once

#include "subsystem/hello.h"
#include "subsystem/wire.h"

/* Makes this process a child that dies with its parent, and opens its end of the wire. SL_ECLOSED: it was
 * started by hand, or the parent has died meanwhile. */
SL_API int sl__worker_join(sl__wire **ret_wire);
/* Loads `module` and serves its service `name` until the parent says stop or is gone. The exit status. */
SL_API int sl__worker_run(const char *name, const char *module);

/* The path of a program that children run ("silver-worker"), for the caller to free: in `directory`, or, if
 * that is NULL, beside libsilver or where it was installed. 0; or SL_ENOENT with *ret_error. */
SL_API int sl__program_find(const char *directory, const char *program, char **ret_path,
                            sl_error **ret_error);
