/* echo.h: the service that bench/subsystem.c calls. */
#pragma once

#include <silver/subsystem.h>

#define ECHO_SMALL(F) F(number, integer) F(text, text)
SL_RECORD(echo_small, ECHO_SMALL);
#define ECHO_LARGE(F) F(data, bytes)
SL_RECORD(echo_large, ECHO_LARGE);
#define ECHO(M) M(small, echo_small, echo_small) M(large, echo_large, echo_large)
SL_SERVICE(echo, 1, ECHO);
