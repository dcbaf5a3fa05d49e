/* app.h: what `run` needs of the web room. */
#pragma once

#include <silver/web.h>

/* Makes the application of a root: sl_get finds it there. `directory` is absolute and copied. */
SL_API sl_app *sl__app_new(sl_root *root, const char *directory, bool development);
SL_API sl_app *sl__app_free(sl_app *app);
/* For sl_http_options: the handler that routes, and the maker of failure responses (the debug page, or an
 * incident). Both find their application through the context. */
SL_API sl_response *sl__app_handle(sl_request *req);
/* Whether some route is for this request, and not only for its path: for handlers that come after the routes.
 */
SL_API bool sl__app_routes(sl_request *req);
SL_API sl_response *sl__app_failure(sl_request *req, const sl_error *error);
/* Makes every request answer with this error's page (status 500): for an application that does not compile.
 * Takes over the reference. */
SL_API void sl__app_broken(sl_app *app, sl_error *error);
/* Fails where a store that the services name cannot be declared. */
SL_API void sl__app_need_stores(const sl_app *app);
/* The commands that sl_command made, in order; NULL past the last. */
SL_API const sl_command *sl__app_command_at(const sl_app *app, size_t i);
/* The application of a root, or NULL. */
SL_API sl_app *sl__app_of(sl_root *root);

/* What `silver check` finds in a template. */
typedef struct sl__template_wrong {
    const char *file; /* relative to the application */
    int line, column; /* from 1; 0: the file as a whole */
    const char *message, *hint, *detail;
} sl__template_wrong;
typedef void sl__template_wrong_fn(void *data, const sl__template_wrong *found);
/* Parses all templates of the application in a directory, and tells what is wrong with them, file by file in
 * the order of their names. Needs no task and no loop; blocks. */
SL_API void sl__app_check_templates(const char *directory, sl__template_wrong_fn *wrong, void *data);
