/* plugin.h: parts of an application that say what they want and leave the rest to the framework.
 *
 * A plug-in is a shared object with one descriptor, which lists its areas of interest:
 *
 *     SL_PLUGIN(search,
 *         SL_OFFERS(search, &methods, .maximum = 2),          a service for others (silver/subsystem.h)
 *         SL_ROUTE("search", "GET /search", search_page),     a page (silver/web.h)
 *         SL_COMMAND("reindex", reindex, "builds the index anew"),
 *         SL_LISTENS("room", message_said, keep),             every room's messages
 *         SL_PROVIDES(finder, &finder));                      a facet of the application
 *
 * Loading registers all of it, and unloading removes all of it: no plug-in adds or removes itself. What a
 * plug-in may be interested in is open: each room of the library adds kinds of its own. */
#pragma once

#include <silver/facet.h>
#include <silver/channel.h>

typedef struct sl_interest sl_interest;
typedef struct sl_loaded sl_loaded;

/* A kind of interest: how it is registered, and how that is undone. `add` may give a handle, which `remove`
 * gets. It returns 0, or a code with *ret_error. */
typedef struct sl_interest_kind {
    const char *name; /* "listens" */
    int (*add)(sl_loaded *plugin, const sl_interest *interest, void **ret_handle, sl_error **ret_error);
    void (*remove)(sl_loaded *plugin, const sl_interest *interest, void *handle);
} sl_interest_kind;

struct sl_interest {
    const sl_interest_kind *kind;
    const char *name;    /* of what it is about: the channel, the interface, the route; for messages */
    const sl_site *site; /* in the plug-in's source */
    const void *what;    /* the kind's own description */
};

typedef struct sl_plugin {
    unsigned abi;
    const char *name;
    size_t interest_count;
    const sl_interest *interests;
} sl_plugin;

#define SL_PLUGIN_ABI 1u
/* The descriptor, found by its name in the shared object; or by the linker, where a test links the plug-in
 * in. */
SL_API extern const sl_plugin sl_plugin_descriptor;
#define SL_PLUGIN(identifier, ...)                                                                           \
    static const sl_interest sl__interests[] = {__VA_ARGS__};                                                \
    const sl_plugin sl_plugin_descriptor = {.abi = SL_PLUGIN_ABI,                                            \
                                            .name = #identifier,                                             \
                                            .interest_count = sl_array_size(sl__interests),                  \
                                            .interests = sl__interests}

/* SL_LISTENS("room", message_said, keep, .priority = 1): keep is an sl_listener_fn, whose data is the
 * sl_loaded. */
typedef struct sl_listens {
    const sl_event *event;
    sl_listener_fn *function;
    sl_listen_options options;
} sl_listens;
SL_API extern const sl_interest_kind sl_listens_kind;
#define SL__INTEREST(interest_kind, interest_name, ...)                                                      \
    {                                                                                                        \
        .kind = &(interest_kind), .name = (interest_name),                                                   \
        .site = &(const sl_site){__FILE__, __LINE__, "a plug-in"}, .what = __VA_ARGS__                       \
    }
#define SL_LISTENS(channel, listened, listener, ...)                                                         \
    SL__INTEREST(sl_listens_kind, channel,                                                                   \
                 &(const sl_listens){.event = (listened), .function = (listener), .options = {__VA_ARGS__}})

/* SL_PROVIDES(finder, &finder): the application's root carries this facet. */
typedef struct sl_provides {
    sl_interface *interface;
    const void *facet;
} sl_provides;
SL_API extern const sl_interest_kind sl_provides_kind;
#define SL_PROVIDES(provided, its_facet)                                                                     \
    SL__INTEREST(sl_provides_kind, #provided,                                                                \
                 &(const sl_provides){.interface = provided##_interface, .facet = (its_facet)})

/* SL_ADAPTS(message, drawable, draw_message): an adapter of the application's root. */
typedef struct sl_adapts {
    sl_interface *from, *to;
    sl_adapt_fn *adapt;
    sl_free_fn *free_facet;
} sl_adapts;
SL_API extern const sl_interest_kind sl_adapts_kind;
#define SL_ADAPTS(source, target, function, ...)                                                             \
    SL__INTEREST(                                                                                            \
        sl_adapts_kind, #source " to " #target,                                                              \
        &(const sl_adapts){                                                                                  \
            .from = source##_interface, .to = target##_interface, .adapt = (function), __VA_ARGS__})

/* SL_STARTS(start): called in a task, when all plug-ins are loaded; failing there keeps the application from
 * starting. SL_STOPS(stop) likewise when the plug-in is unloaded, before what it registered is removed; not
 * for one whose SL_STARTS were not called, or failed. */
typedef void sl_plugin_fn(sl_loaded *plugin);
typedef struct sl_calls {
    sl_plugin_fn *function;
} sl_calls;
SL_API extern const sl_interest_kind sl_starts_kind, sl_stops_kind;
#define SL_STARTS(function_)                                                                                 \
    SL__INTEREST(sl_starts_kind, #function_, &(const sl_calls){.function = (function_)})
#define SL_STOPS(function_)                                                                                  \
    SL__INTEREST(sl_stops_kind, #function_, &(const sl_calls){.function = (function_)})

/* SL_COMMAND("reindex", reindex, "builds the index anew"): `silver run DIR reindex ARGUMENTS` calls it in a
 * task. What it returns is the exit status. */
typedef int sl_command_fn(int argc, char **argv);
typedef struct sl_command {
    const char *name, *summary;
    sl_command_fn *function;
} sl_command;
SL_API extern const sl_interest_kind sl_command_kind;
#define SL_COMMAND(command_name, command_function, text)                                                     \
    SL__INTEREST(                                                                                            \
        sl_command_kind, command_name,                                                                       \
        &(const sl_command){.name = (command_name), .summary = (text), .function = (command_function)})
/* The command of this name that a plug-in of the root has, or NULL; sl_command_at walks them. */
SL_API const sl_command *sl_command_get(sl_root *root, const char *name);
SL_API const sl_command *sl_command_at(sl_root *root, size_t i);

/* ---- Loading: for those who run applications ----------------------------------------------------------- */

/* Registers all that the descriptor says, in the root. `path` is the shared object's, for those who load it
 * elsewhere (NULL: none); copied. 0; or a code, with nothing registered, and *ret_error names the plug-in and
 * the interest. The descriptor must live as long. */
SL_API int sl_plugin_load(sl_root *root, const sl_plugin *descriptor, const char *path,
                          sl_loaded **ret_plugin, sl_error **ret_error);
/* Calls the SL_STARTS of all the root's plug-ins that were not started yet, in the order in which they were
 * loaded. In a task, which owns what they allocate; fails if one does. */
SL_API void sl_plugins_start(sl_root *root);
/* Calls its SL_STOPS and removes what it registered, the last first. In a task or outside all tasks (then
 * SL_STOPS are run by a task of their own, which is waited for by nobody). A failure to stop is logged. Roots
 * unload what is left when they go, the last loaded first. */
SL_API void sl_plugin_unload(sl_loaded *plugin);

SL_API const char *sl_plugin_name(const sl_loaded *plugin);
SL_API const char *sl_plugin_path(const sl_loaded *plugin); /* or NULL */
SL_API sl_root *sl_plugin_root(const sl_loaded *plugin);
/* The root's plug-in of this name, or NULL; sl_plugin_at walks them in the order of loading. */
SL_API sl_loaded *sl_plugin_get(sl_root *root, const char *name);
SL_API sl_loaded *sl_plugin_at(sl_root *root, size_t i);
