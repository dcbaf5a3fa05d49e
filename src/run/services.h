/* services.h: what an application's manifest asks for, as it is given where nobody else provides it.
 *
 * A service arrives as variables CONFIG_… of the environment. What the environment has already holds: on a
 * server it is given that way. */
#pragma once

#include "run/manifest.h"
#include "run/postgres.h"

/* The variable of `service.sqlite.NAME`: CONFIG_SQLITE_NAME_PATH; malloc'ed. */
char *services_sqlite_variable(const char *name);

/* Those that are files: service.sqlite, service.files, service.secret. Makes them where they are missing, and
 * sets their variables. 0, or a code with *ret_error. */
int services_offer(const struct manifest *manifest, sl_error **ret_error);

/* Those that run: service.postgres, from the environment, the developer's configuration, or the application's
 * own. May block for seconds. For whoever starts the application's processes: they inherit the variables. A
 * service that was started before is left as it is. 0, or a code with *ret_error. */
struct services {
    struct postgres postgres;
};
int services_start(const struct manifest *manifest, struct services *services, sl_error **ret_error);
/* Starts again what was killed; true if there was something. Does not wait for it. */
bool services_repair(struct services *services);
/* Lets go of what services_start has taken. */
void services_stop(struct services *services);

/* developer.c: sets CONFIG_PG_… from [postgres APP] or [postgres] of $XDG_CONFIG_HOME/silver/services.ini. 1
 * if it did, 0 if there is nothing said; or a code with *ret_error. */
int developer_postgres(const char *app_name, sl_error **ret_error);
