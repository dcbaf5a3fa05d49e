/* bus.h: what is emitted on a channel in one instance reaches the others of the application on this machine.
 *
 * There is no broker. Each instance has a Unix socket in the application's bus directory and sends to every
 * other over a connection of its own; who is there is what stands in the directory. A peer that does not keep
 * up loses the oldest of what waits for it, and the log says so; one that died is found out by its
 * connection, and its socket is removed. */
#pragma once

#include <silver/core.h>

#define BUS_FRAME_MAX (1u << 20)       /* of one event, with its names */
#define BUS_QUEUE_BYTES_MAX (8u << 20) /* waiting for one peer */
#define BUS_PEERS_MAX 256
#define BUS_JOIN_MS 500

struct bus;

/* Joins the bus of a root, whose directory must exist. `joined` is called (perhaps at once, at the latest
 * after BUS_JOIN_MS) when those who are there already can reach us. */
int bus_new(sl_loop *loop, sl_root *root, const char *directory, sl_callback *joined, void *data,
            struct bus **ret_bus, sl_error **ret_error);
/* Leaves it. Handles are closed by the loop's next passes; the rest is freed then. Takes NULL. */
struct bus *bus_free(struct bus *bus);
/* How many others we can send to now. */
size_t bus_peer_count(const struct bus *bus);
/* The bytes that wait for the one that lags most, at most BUS_QUEUE_BYTES_MAX (and one batch that is being
 * written). */
size_t bus_waiting(const struct bus *bus);
