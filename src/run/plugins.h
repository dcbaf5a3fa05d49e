/* plugins.h: the plug-ins that a manifest names.
 *
 * The plug-in NAME is a folder plugins/NAME with C files, or one file plugins/NAME.c, compiled as the
 * application is into a shared object of its own; or plugins/NAME.py, a service in Python. */
#pragma once

#include "run/runner.h"
#include <silver/subsystem.h>

enum plugin_kind {
    PLUGIN_C,
    PLUGIN_PYTHON,
};

struct plugin {
    const char *name; /* the manifest's */
    enum plugin_kind kind;
    char *place; /* relative to the application: "plugins/search", "plugins/search.c"; malloc'ed */
    const struct sl_plugin *descriptor; /* of one in C that plugin_open has opened */
    char *library;                      /* its path; malloc'ed */
    sl_loaded *loaded;
    bool offered; /* one in Python, as a service */
};

struct plugins {
    struct plugin items[MANIFEST_LIST_MAX];
    size_t count;
};

/* Finds the manifest's plug-ins. 0, or SL_ENOENT and complaints; what was found is in *ret in any case, for
 * plugins_done. */
int plugins_find(const struct manifest *manifest, struct complaints *complaints, struct plugins *ret_plugins);
void plugins_done(struct plugins *plugins);
/* What to compile for one in C. */
struct target plugin_target(const struct manifest *manifest, const struct plugin *plugin);
/* Builds those in C and looks for what can be found wrong with any of them without loading it. What the tools
 * say is added to `whole`. */
void plugins_check(const struct manifest *manifest, struct complaints *complaints, struct build *whole);
/* Opens the shared object that was made of it. 0 or SL_EBUILD. It stays open as long as the process lives. */
int plugin_open(struct plugin *plugin, const char *path, sl_error **ret_error);

/* Registers them all in the root: services in Python with the manager. 0; or a code, and *ret_error says
 * which and why. */
int plugins_load(struct plugins *plugins, const struct manifest *manifest, sl_root *root, sl_manager *manager,
                 sl_error **ret_error);
/* In a task: stops and unregisters them, the last first. */
void plugins_unload(struct plugins *plugins, sl_manager *manager);

/* Adds all that lies in the folder of plug-ins now. */
void plugins_digest(const struct manifest *manifest, struct digest *digest);
