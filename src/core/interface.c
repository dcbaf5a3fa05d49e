/* interface.c: which interfaces there are in this process.
 *
 * Each shared object that uses an interface has a description of its own: what makes them the same is the
 * name. So a description is given its index when it is first used, the same for all of one name. An index is
 * for as long as the process: there are as many as the programs' sources have names. */
#include "core/facet.h"

#include <pthread.h>
#include <stdlib.h>

/* Like the numbers of keys this belongs to the process, as the names of types do. */
static struct {
    pthread_mutex_t lock;
    sl__kind **kinds; /* by index, from 1 */
    unsigned count;
} interfaces = {.lock = PTHREAD_MUTEX_INITIALIZER};

static sl__kind *find(const char *name)
{
    for (unsigned i = 1; i < interfaces.count; i++)
        if (strcmp(interfaces.kinds[i]->name, name) == 0)
            return interfaces.kinds[i];
    return NULL;
}

static sl__kind *add(const char *name, const sl__kind *base)
{
    if (interfaces.count == 0)
        interfaces.count = 1;
    if ((interfaces.count & (interfaces.count - 1)) == 0)
        interfaces.kinds = sl_realloc(interfaces.kinds, 2 * (size_t)interfaces.count * sizeof(sl__kind *));
    interfaces.kinds[0] = NULL;
    sl__kind *kind = sl_malloc(sizeof *kind);
    *kind = (sl__kind){.name = sl_strdup_heap(name), .index = interfaces.count, .base = base};
    interfaces.kinds[interfaces.count++] = kind;
    return kind;
}

static sl__kind *number(sl_interface *interface)
{
    unsigned index = __atomic_load_n(&interface->index, __ATOMIC_ACQUIRE);
    if (index)
        return interfaces.kinds[index];
    const sl__kind *base = interface->base ? number(interface->base) : NULL;
    sl__kind *kind = find(interface->name);
    if (!kind)
        kind = add(interface->name, base);
    if (kind->base != base)
        sl__die(NULL,
                "two descriptions of interface %s disagree: one extends %s, the other %s.\n"
                "  Put SL_INTERFACE or SL_INTERFACE_EXTENDS into a header, and give other interfaces other "
                "names",
                kind->name, kind->base ? kind->base->name : "nothing", base ? base->name : "nothing");
    __atomic_store_n(&interface->index, kind->index, __ATOMIC_RELEASE);
    return kind;
}

const sl__kind *sl__kind_of(sl_interface *interface)
{
    pthread_mutex_lock(&interfaces.lock);
    const sl__kind *kind = number(interface);
    pthread_mutex_unlock(&interfaces.lock);
    return kind;
}
