/* watcher.h: notices when what an application is made of has changed: its manifest, its sources, its
 * plug-ins.
 */
#pragma once

#include <silver/core.h>
#include "run/manifest.h"

struct watcher;

/* Calls `changed` whenever that differs from what it was, after the writing has calmed down. What cannot be
 * watched is told. The manifest, the logger and `data` must live as long. */
struct watcher *watcher_new(sl_loop *loop, const struct manifest *manifest, sl_logger *logger,
                            void (*changed)(void *data), void *data);
/* Calls back no more. Takes NULL. */
void watcher_stop(struct watcher *watcher);
/* When its loop is gone; returns NULL. */
struct watcher *watcher_free(struct watcher *watcher);
