/* command.c: the commands that an application has itself, for `silver run`. */
#include "web/state.h"

#include <stdlib.h>

struct sl__app_command {
    sl_command command;
    const sl_site *site;
    struct sl__app_command *next;
};

void sl__command(const sl_site *site, sl_app *app, const char *name, sl_command_fn *function,
                 const char *summary)
{
    sl__app_command **end = &app->commands;
    for (; *end; end = &(*end)->next)
        if (strcmp((*end)->command.name, name) == 0)
            sl__fail_error(site, sl__error_new(site, SL_EEXIST, "the command \"%s\" is there already: %s:%d",
                                               name, (*end)->site->file, (*end)->site->line));
    if (sl_command_get(app->root, name))
        sl__fail_error(
            site, sl_error_hint(sl__error_new(site, SL_EEXIST,
                                              "the command \"%s\" is there already: a plug-in has it", name),
                                "give one of the two another name"));
    *end = sl_calloc(1, sizeof(**end));
    **end = (sl__app_command){
        .command = {.name = sl_strdup_heap(name), .summary = sl_strdup_heap(summary), .function = function},
        .site = site};
}

const sl_command *sl__app_command_at(const sl_app *app, size_t i)
{
    const sl__app_command *at = app->commands;
    while (at && i--)
        at = at->next;
    return at ? &at->command : NULL;
}

void sl__app_commands_free(sl_app *app)
{
    while (app->commands) {
        sl__app_command *next = app->commands->next;
        free((char *)app->commands->command.name);
        free((char *)app->commands->command.summary);
        free(app->commands);
        app->commands = next;
    }
}
