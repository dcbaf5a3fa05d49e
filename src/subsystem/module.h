/* module.h: the shared objects that do a service's work. */
#pragma once

#include <silver/subsystem.h>

/* The offer of this service among a plug-in's interests, or NULL. */
const sl_offer *sl__plugin_offer(const sl_plugin *plugin, const char *service);
/* Loads a module for good and finds its offer of the service, with all its methods. 0; or a code, and
 * *ret_error says what is wrong with which, and what to do. */
int sl__module_load(const char *path, const char *service, const sl_offer **ret_offer, sl_error **ret_error);
