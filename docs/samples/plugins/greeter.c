/* greeter.c: a plug-in. It says what it wants; nothing here registers anything. */
#include "greeter.h"

#include <stdio.h>

static const char *greet(const char *who)
{
    return sl_printf("Welcome, %s!", who);
}
static const struct greeter greeting = {greet};

static sl_result on_arrival(const sl_told *told, void *plugin)
{
    printf("%s heard that %s is in the %s\n", sl_plugin_name(plugin), (const char *)told->payload,
           told->channel);
    return sl_ok(NULL);
}

static void start(sl_loaded *plugin)
{
    sl_await(sl_sleep(1)); /* it is a task: opening what it needs may take its time */
    printf("%s is ready\n", sl_plugin_name(plugin));
}

static void stop(sl_loaded *plugin)
{
    printf("%s says good-bye\n", sl_plugin_name(plugin));
}

static int wave(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        printf("waves at %s\n", argv[i]);
    return 0;
}

SL_PLUGIN(greeter, SL_PROVIDES(greeter, &greeting), SL_LISTENS("house", arrived, on_arrival),
          SL_COMMAND("wave", wave, "waves at people"), SL_STARTS(start), SL_STOPS(stop));
