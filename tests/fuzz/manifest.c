/* manifest.c: app.ini from anybody. What is accepted must be within its limits; what is not must say why. */
#include "run/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct complaints complaints = {0};
    struct manifest *manifest = NULL;
    int code = manifest_parse((const char *)data, size, "/srv/app", "app.ini", &complaints, &manifest);
    if ((code == 0) != (complaints.count == 0) || (code == 0) != (manifest != NULL))
        abort();
    for (size_t i = 0; i < complaints.count; i++)
        if (!complaints.items[i].message || complaints.items[i].line < 0)
            abort();
    if (manifest) {
        if (!manifest->app_name || !manifest->runner || manifest->slot_count == 0 ||
            manifest->slot_count > MANIFEST_SLOTS_MAX)
            abort();
        for (size_t i = 0; i < manifest->slot_count; i++)
            free(address_offset(manifest->slots[i].address, 1));
    }
    manifest_free(manifest);
    complaints_done(&complaints);
    return 0;
}
