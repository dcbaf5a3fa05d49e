/* host.c: what an instance does with a plug-in, here with one that is linked in. */
#include "greeter.h"

#include <stdio.h>

static void *program(void *unused)
{
    sl_root *root = sl_root_current();
    sl_loaded *plugin;
    sl_error *error;
    if (sl_plugin_load(root, &sl_plugin_descriptor, /* path= */ NULL, &plugin, &error) < 0)
        sl_fail_error(error);
    sl_plugins_start(root);

    sl_tell(sl_channel("house/hall"), arrived, "Ada");
    puts(sl_provided(greeter)->greet("Ada"));
    sl_command_get(root, "wave")->function(2, (char *[]){"wave", "Bob", NULL});

    sl_plugin_unload(plugin);
    printf("a greeter: %s\n", sl_provided(greeter) ? "there" : "none");
    return NULL;
}

int main(void)
{
    return sl_run("host", program, NULL, NULL) < 0;
}
