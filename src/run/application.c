/* application.c: an application with all that belongs to it, in a loop: its services' manager, its plug-ins,
 * and itself. An instance serves it; `silver run` runs one of its commands. */
#include "run/instance.h"

#include "store/schema.h"

int application_open(struct instance *instance)
{
    instance->app = sl__app_new(instance->root, instance->manifest->directory, !instance->production);
    if (sl__stores_any())
        sl_store_configure(instance->root, &instance->manifest->store);
    sl_manager_options options = {.directory = instance->manifest->directory};
    int code = sl_manager_new(instance->root, &options, &instance->manager);
    if (code < 0)
        SAY(instance, SL_ERROR, "cannot manage services: %s", sl_code_message(code));
    return code;
}

void application_start(struct instance *instance)
{
    sl_error *error = NULL;
    sl__app_need_stores(instance->app);
    if (plugins_load(&instance->plugins, instance->manifest, instance->root, instance->manager, &error) < 0)
        sl_fail_error(error);
    if (instance->loaded.start)
        instance->loaded.start(instance->app, instance->loaded.data);
    /* It has said which models and patches it has. A Python application's database is its own affair. */
    if (!instance->schema_waits && !instance->manifest->python)
        sl__schema_start(SL_HERE, instance->manifest->directory, !instance->production);
    sl_plugins_start(instance->root);
}

void application_stop(struct instance *instance)
{
    plugins_unload(&instance->plugins, instance->manager);
}

/* Tasks that outlived the drain were cancelled and now clean up, for which they need the application. */
static void end_tasks(struct instance *instance)
{
    for (int pass = 0; pass < 100 && sl_task_count(instance->loop); pass++)
        uv_run(sl_loop_uv(instance->loop), UV_RUN_NOWAIT);
}

void application_close(struct instance *instance)
{
    plugins_unload(&instance->plugins, instance->manager); /* where the drain did not come to it */
    instance->manager = sl_manager_free(instance->manager);
    end_tasks(instance);
    instance->app = sl__app_free(instance->app);
}
