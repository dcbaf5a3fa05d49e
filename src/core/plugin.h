/* plugin.h: the inside of plug-ins. */
#pragma once

#include "core/channel.h"

struct sl_loaded {
    sl_root *root;
    sl_loaded *next, *earlier; /* of the root's, in the order of loading */
    const sl_plugin *descriptor;
    char *path;
    bool started, failed; /* its SL_STARTS were called, and one failed */
    bool unloading;
    size_t added;    /* interests that are registered: the first of the descriptor's */
    void *handles[]; /* what their kinds gave */
};

/* The next registered interest of a kind, from *at of *plugin on, over all plug-ins that follow; or NULL. */
const sl_interest *sl__interest_next(const sl_loaded **plugin, size_t *at, const sl_interest_kind *kind);
