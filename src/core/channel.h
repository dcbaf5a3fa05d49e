/* channel.h: the inside of channels, listeners and inboxes. */
#pragma once

#include "core/facet.h"
#include "core/task.h"

/* Levels of a channel's name; what has more belongs to the channel of its first ones directly. */
#define SL__MOST_LEVELS 16
/* Kinds of events for which a channel keeps ready whom to call. */
#define SL__MOST_PLANS 8

/* Whom an event on a channel calls, in order: made when it is first needed, and anew when the listeners
 * changed. It keeps the listeners' memory; those that have ended meanwhile are marked so. */
typedef struct sl__plan {
    struct sl__plan *next;
    char *event;
    uint64_t stamp; /* the sum of the generations of the channel and those above when it was made */
    unsigned uses;  /* the channel's, and one for each telling that goes through it */
    size_t count;
    sl_listener *listeners[];
} sl__plan;

/* The last of a sticky event. */
typedef struct sl__last {
    struct sl__last *next;
    char *event;
    char *channel; /* that it was told on, which may be below */
    struct json_t *payload;
    const sl_site *site;
    bool elsewhere;
} sl__last;

struct sl_channel {
    char *name;
    sl_root *root;
    sl_channel *above;   /* "room" of "room/1"; it stays as long as this does */
    unsigned below;      /* how many it is above of */
    unsigned pins;       /* tellings that go on */
    uint64_t generation; /* changes with the listeners */
    unsigned far;        /* how many hear what is told elsewhere */
    sl_listener *first_listener, *last_listener;
    sl_inbox *first_inbox;
    sl__plan *plans; /* the one used last first */
    sl__last *lasts;
    sl_channel *earlier, *later; /* among those that nobody listens to */
};

struct sl_listener {
    sl_listener *next, *earlier; /* of the channel */
    sl_channel *channel;         /* NULL once it has ended */
    const sl_event *event;       /* NULL: all */
    sl_listener_fn *function;
    void *data;
    sl_free_fn *free_data;
    sl_context *context;
    bool counted; /* the context is a counted reference */
    bool once, everywhere;
    int priority;
    unsigned running;    /* calls that go on */
    unsigned references; /* its own until it has ended, its task's, and the plans' */
    const sl_site *site;
    sl__owned owned; /* by an object */
};

struct sl_inbox {
    sl_inbox *next, **link;
    sl_channel *channel;     /* NULL once closed */
    const char *event;       /* NULL: all */
    struct json_t **waiting; /* a ring that grows */
    size_t capacity, start, count, missed;
    struct json_t *current;
    sl_deferred *next_one; /* who waits for something to come */
};

/* channel.c */
/* Whether somebody keeps the channel: such ones are not among the idle. */
static inline bool sl__channel_used(const sl_channel *channel)
{
    return channel->first_listener || channel->first_inbox || channel->below;
}
/* Around whatever may change that. */
void sl__channel_use(sl_channel *channel);
void sl__channel_disuse(sl_channel *channel);
/* Somebody begins, or ends, to hear what is told elsewhere. */
void sl__channel_hear(sl_channel *channel);
void sl__channel_unhear(sl_channel *channel);
/* The root's bus, which is attached, wants to know of which channels anybody here hears what is told
 * elsewhere; called at once for those of now. */
void sl__bus_hear(sl_root *root, void (*hear)(void *data, const char *channel, bool begins));
/* The channel of this name, or the nearest above it that is there; or NULL. */
sl_channel *sl__channel_nearest(sl_root *root, const char *name);

/* sticky.c */
void sl__sticky_seen(sl_root *root, const sl_event *event);
/* Keeps the event on the channel and those above; takes a reference of its own. */
void sl__sticky_keep(sl_channel *channel, const char *event, struct json_t *payload, const sl_site *site,
                     bool elsewhere);
/* The last of an event that the channel keeps (of any: after `after`), or NULL. */
sl__last *sl__sticky_next(const sl_channel *channel, const char *event, const sl__last *after);
void sl__sticky_free(sl_channel *channel);

/* listener.c */
typedef enum sl__owner {
    SL__OWNER_TASK, /* the calling one, or the root */
    SL__OWNER_ROOT, /* and the context is the root's own */
} sl__owner;
/* As sl_listen_to; NULL if a sticky event has ended it already. */
sl_listener *sl__listener_new(const sl_site *site, sl_channel *channel, const sl_event *event,
                              sl_listener_fn *function, void *data, const sl_listen_options *options,
                              sl__owner owner);
/* Gives back what an ended listener has that is not being called any more. */
void sl__listener_release(sl_listener *listener);
void sl__listener_unref(sl_listener *listener);
void sl__plan_unref(sl__plan *plan);
/* Whom the event calls, with one more use; NULL: nobody. */
sl__plan *sl__plan_get(sl_channel *channel, const char *event);

/* tell.c */
/* A telling that goes on: on the stack of whoever tells, and ended however that is left. */
typedef struct sl__telling {
    const sl_told *told;
    sl_channel *channel;
    sl__plan *plan; /* NULL: nobody listens */
    sl_loop *loop;
    sl_context *context; /* of the telling */
    sl_listener *now;    /* being called */
} sl__telling;
void sl__telling_begin(sl__telling *telling, sl_channel *channel, const sl_told *told);
void sl__telling_end(sl__telling *telling);
/* Calls a listener, and gives what it returns. */
sl_result sl__telling_call(sl__telling *telling, sl_listener *listener);
/* The same; where it exits, as a task may, that is given as its failure. */
sl_result sl__telling_try(sl__telling *telling, sl_listener *listener);
/* Logs the failure of a listener with both places; takes over the error. */
void sl__listener_failed(const sl_told *told, const sl_site *listening, sl_error *error);
/* Adds a link that logs a failure likewise, and passes it on. */
void sl__log_failure(const sl_told *told, const sl_site *listening, sl_deferred *deferred);
/* Calls one listener for a sticky event from before. */
void sl__tell_late(sl_listener *listener, const sl_event *event, const sl__last *last);

/* inbox.c */
void sl__inboxes_put(sl_channel *channel, const char *event, struct json_t *payload);
