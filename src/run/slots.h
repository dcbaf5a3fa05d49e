/* slots.h: who serves where on this machine.
 *
 * An application has a runtime directory of its own, found by its path: $XDG_RUNTIME_DIR/silver/HASH, or
 * /tmp/silver-UID/HASH. In it each slot is a file, and to hold the slot is to hold the file's lock, which the
 * kernel releases when the holder dies, however that is. What stands in the file is for people: who, since
 * when, where. */
#pragma once

#include "run/manifest.h"

/* The application's runtime directory, made where it is missing, with bus/ and slots/ in it. It is refused
 * unless it is ours alone. malloc'ed. */
int runtime_directory(const char *application, char **ret_path, sl_error **ret_error);

struct slot {
    const struct manifest_slot *place;
    int fd;         /* of the locked file; close-on-exec */
    bool abandoned; /* its last holder died without releasing it: its instances may still be going */
};

/* Takes slot number `wanted`, or the first free one if that is negative. SL_EBUSY when it is taken, or all
 * are: the error lists who holds them. SL_ECONFIG when there is no such slot. */
int slot_take(const char *runtime, const struct manifest *manifest, int wanted, struct slot *ret_slot,
              sl_error **ret_error);
/* Writes into the slot's file who holds it. */
void slot_describe(const struct slot *slot, const char *address);
void slot_release(struct slot *slot);
