/* echo.c: gives back what it gets. */
#include "echo.h"

#include <silver/silver.h>

static void small(const struct echo_small *arguments, struct echo_small *result)
{
    *result = *arguments;
}

static void large(const struct echo_large *arguments, struct echo_large *result)
{
    *result = *arguments;
}

static const struct echo_methods methods = {.small = small, .large = large};
SL_PLUGIN(echo, SL_OFFERS(echo, &methods));
