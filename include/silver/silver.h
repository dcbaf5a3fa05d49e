/* silver.h: all of libsilver. An application includes this and nothing else. */
#pragma once

#include <silver/base.h>
#include <silver/record.h>
#include <silver/core.h>
#include <silver/io.h>
#include <silver/subsystem.h>
#include <silver/http.h>
#include <silver/store.h>
#include <silver/web.h>
