/* facet.h: objects made of parts, found by interface.
 *
 * An interface is a struct type with a name: usually one of function pointers. An object carries facets, one
 * for an interface. What asks an object for an interface need not know what the object is:
 *
 *     struct drawable { void (*draw)(struct drawable *self, sl_buffer *out); };
 *     SL_INTERFACE(drawable);
 *
 *     sl_object_add(shape, drawable, &my_drawable, NULL);
 *     struct drawable *d = sl_facet(shape, drawable);
 *
 * Interfaces are the same when their names are: each shared object may have its own copy of the description.
 */
#pragma once

#include <silver/core.h>

typedef struct sl_interface {
    const char *name;
    struct sl_interface *base; /* what whoever has this has too; NULL: none */
    unsigned index;            /* given at the first use; the same for all of one name */
} sl_interface;

/* SL_INTERFACE(drawable); for `struct drawable`. SL_INTERFACE_EXTENDS(coloured, drawable); says that a
 * `struct coloured` begins with a `struct drawable`, its first member, so that it serves as one. */
#define SL_INTERFACE(identifier)                                                                             \
    static sl_interface identifier##_interface[1] __attribute__((unused)) = {{.name = #identifier}}
#define SL_INTERFACE_EXTENDS(identifier, base_identifier)                                                    \
    _Static_assert(_Generic(*(__typeof__(&((struct identifier *)0)->base) *)0, struct base_identifier *      \
                            : offsetof(struct identifier, base) == 0, default : 0),                          \
                   "struct " #identifier " must begin with `struct " #base_identifier " base;`");            \
    static sl_interface identifier##_interface[1]                                                            \
        __attribute__((unused)) = {{.name = #identifier, .base = base_identifier##_interface}}

/* ---- Objects ----------------------------------------------------------------------------------------- */

typedef struct sl_object sl_object;

/* Makes an object; `name` is for messages, and copied. Counted references, one thread at a time. The facets
 * are freed with the last reference, the last added first. */
SL_API sl_object *sl_object_new(const char *name);
SL_API sl_object *sl_object_ref(sl_object *object);
SL_API sl_object *sl_object_unref(sl_object *object); /* takes NULL; returns NULL */
/* Gives the object a facet. 0; or SL_EEXIST when it has one for this interface, with both sites in the log.
 * The facet is freed with `free_facet` (may be NULL), also when this fails. */
#define sl_object_add(object, interface, facet, free_facet)                                                  \
    sl__object_add(SL_HERE, (object), interface##_interface, (1 ? (facet) : (struct interface *)0),          \
                   (free_facet))
SL_API int sl__object_add(const sl_site *site, sl_object *object, sl_interface *interface, void *facet,
                          sl_free_fn *free_facet);
/* Takes a facet away, and with it what adapters made of it. Whether there was one. */
#define sl_object_remove(object, interface) sl__object_remove((object), interface##_interface)
SL_API bool sl__object_remove(sl_object *object, sl_interface *interface);

/* The object's facet for the interface: its own; else what an adapter of the current root makes of another of
 * its facets (once: the object keeps it as long as the adapter is registered); else one for an interface that
 * extends this one, own or adapted; else NULL. */
#define sl_facet(object, interface) ((struct interface *)sl__facet((object), interface##_interface))
SL_API void *sl__facet(sl_object *object, sl_interface *interface);
/* The same; without one the task fails, naming the object, the interface and the facets that there are. */
#define sl_facet_needed(object, interface)                                                                   \
    ((struct interface *)sl__facet_needed(SL_HERE, (object), interface##_interface))
SL_API void *sl__facet_needed(const sl_site *site, sl_object *object, sl_interface *interface);

/* ---- Adapters ---------------------------------------------------------------------------------------- */

/* Makes a facet for `to` of an object's facet for `from`; NULL if it cannot for this one. What it gives is
 * freed with the adapter's free_facet when the object, the facet it was made of, or the adapter goes. It must
 * not suspend. It may look at the object; inside its call for an object it is not asked about that again. */
typedef void *sl_adapt_fn(void *facet, sl_object *object);
/* Registers an adapter in a root. It also serves objects that have an interface which extends `from`. Of
 * several adapters to one interface the first registered that can is the one. 0; or SL_EEXIST where there is
 * one between these two interfaces already, with both sites in the log. */
#define sl_adapter_add(root, from, to, adapt, free_facet)                                                    \
    sl__adapter_add(SL_HERE, (root), from##_interface, to##_interface, (adapt), (free_facet))
SL_API int sl__adapter_add(const sl_site *site, sl_root *root, sl_interface *from, sl_interface *to,
                           sl_adapt_fn *adapt, sl_free_fn *free_facet);
#define sl_adapter_remove(root, from, to) sl__adapter_remove((root), from##_interface, to##_interface)
SL_API bool sl__adapter_remove(sl_root *root, sl_interface *from, sl_interface *to);

/* ---- What an application provides -------------------------------------------------------------------- */

/* A root is an object too: what it carries is there for everybody who works in it, until the root goes. */

SL_API sl_object *sl_root_object(sl_root *root);
/* The current root's facet for the interface, or NULL. */
#define sl_provided(interface) ((struct interface *)sl__provided(interface##_interface))
SL_API void *sl__provided(sl_interface *interface);
