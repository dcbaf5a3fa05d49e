/* remote.h: the parent, as a child's root sees it: who carries out its calls, and its bus. */
#pragma once

#include "subsystem/hello.h"
#include "subsystem/wire.h"

typedef struct sl__remote sl__remote;

/* Provides the root's sl_caller, which passes calls to the parent, and attaches its bus: what is emitted is
 * told up, and what is listened to from elsewhere is asked for. The log goes up too. */
sl__remote *sl__remote_new(sl_root *root, sl__wire *wire);
/* The answer to a call from here, or an event: whether the packet was one of these. */
bool sl__remote_packet(sl__remote *remote, const sl__packet *packet);
/* The parent will not answer any more: what was called fails with SL_ECLOSED. Takes NULL. */
sl__remote *sl__remote_free(sl__remote *remote);
