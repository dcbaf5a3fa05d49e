/* greeter.h: what the plug-in and the application agree on. */
#include <silver/silver.h>

struct greeter {
    const char *(*greet)(const char *who);
};
SL_INTERFACE(greeter);

SL_LOCAL_EVENT(arrived, const char);
