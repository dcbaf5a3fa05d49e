/* method.h: services and their methods, by name and by number, and a method's call. */
#pragma once

#include <silver/subsystem.h>

/* The method's number, or -1. */
int sl__method_find(const sl_service *service, const char *name);
/* The function of a method in its offer's table, or NULL. */
typedef void sl__method_fn(const void *arguments, void *result);
sl__method_fn *sl__method_function(const sl_offer *offer, unsigned method);
/* In a task: calls it, waits for the tasks that it started, and gives its result, which lives as long as the
 * task. Fails as the method does. */
void *sl__method_call(const sl_offer *offer, unsigned method, const void *arguments);
/* Says whose arguments or result it is, in an error about them; takes over the error. `site` is where it
 * comes from now; NULL: from where it came. */
sl_error *sl__method_blame(const sl_site *site, const char *service, const char *method, const char *part,
                           sl_error *error);
/* The arguments of a call with JSON: an object gives them by name, an array by position. 0; or SL_EINVAL,
 * which says whose they are. */
int sl__method_arguments(const sl_site *site, const sl_service *service, const sl_service_method *method,
                         struct json_t *json, sl_arena *arena, void **ret_value, sl_error **ret_error);
sl_error *sl__no_method(const sl_site *site, const sl_service *service, const char *method);
