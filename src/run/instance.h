/* instance.h: one process that serves one application with one loop, as the files that make it up see it:
 * load.c builds the application and loads it, application.c starts it,
 * instance.c serves it, control.c hears the supervisor, drain.c ends it. */
#pragma once

#include "run/logs.h"
#include "run/manifest.h"
#include "run/plugins.h"
#include "run/runner.h"
#include "web/app.h"

#include <uv.h>

struct instance {
    sl_logger logger; /* first: write_record gets it */
    struct manifest *manifest;
    char *logs;
    int number;
    bool production, log_files, with_metrics, shows, borrowed;
    bool schema_waits; /* the database is not looked at when the application starts */
    sl_loop *loop;
    sl_root *root;
    sl_app *app;
    struct loaded loaded;
    struct plugins plugins;
    sl_manager *manager;
    sl_error *broken;    /* why there is no application to serve */
    sl_site broken_site; /* where, for its page */
    sl_http_server *server, *metrics;
    struct bus *bus;
    uv_pipe_t control;
    uv_signal_t terminate, dump;
    sl_buffer heard;
    char chunk[256];
    bool draining, ready, shows_broken;
    uint64_t drain_until; /* the loop's time in ms */
    int status;
};

#define SAY(instance, level, ...) sl_log_to(&(instance)->logger, (level), SL_HERE, __VA_ARGS__)

void say_complaints(struct instance *instance, const struct complaints *complaints);

/* ---- load.c ------------------------------------------------------------------------------------------ */

/* Reads the manifest. One that is wrong is served as an error where that is shown, with what a manifest says
 * at least. 0 or a code, which was told. */
int load_manifest(struct instance *instance, const char *directory, const char *app_name);
/* Builds and loads the application. 0: instance->loaded, or instance->broken in its place; negative: told,
 * and there is nothing to serve. */
int load_application(struct instance *instance);

/* ---- application.c ----------------------------------------------------------------------------------- */

/* Makes what the application works with, in the instance's loop and root. 0, or a code, which was told. */
int application_open(struct instance *instance);
/* In a task: loads the plug-ins, starts the application, sees to its database, and then starts them. Fails if
 * one of them does. */
void application_start(struct instance *instance);
/* In a task: stops and unloads the plug-ins. */
void application_stop(struct instance *instance);
/* When the loop has stopped: ends the services' children, and frees what application_open made. */
void application_close(struct instance *instance);

/* ---- control.c --------------------------------------------------------------------------------------- */

/* From now on this process ends when its parent does, at the latest when a drain would have. 0 or a code. */
int control_guard(struct instance *instance);
/* There are no compilers any more that would have to go with it. */
void control_built(void);
int control_open(struct instance *instance);
void control_close(struct instance *instance);
/* Sends the supervisor a line. 0 or SL_ECLOSED. */
int control_tell(struct instance *instance, const char *line);

/* ---- report.c ---------------------------------------------------------------------------------------- */

/* Tells the supervisor what this instance does. */
void report_send(struct instance *instance);

/* ---- drain.c ----------------------------------------------------------------------------------------- */

/* Accepts nothing any more, and stops the loop when what was begun is done or its time is over. */
void instance_drain(struct instance *instance);
