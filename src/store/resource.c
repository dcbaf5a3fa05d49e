/* resource.c: whatever else takes part in a transaction, and the file that is moved with it. */
#include "store/commit.h"
#include "core/task.h"

#include <silver/io.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Joining ------------------------------------------------------------------------------------------- */

static bool has_joined(const sl_transaction *t, const sl_resource *resource, const void *data)
{
    for (const sl__participant *p = t->participants; p; p = p->next)
        if (p->resource == resource && p->data == data)
            return true;
    return false;
}

static void *begin_part(void *participant)
{
    sl__participant *p = participant;
    p->resource->begin(p->data);
    return NULL;
}

/* One that has not begun must not be committed with the rest, whoever swallows the error. */
static void begin_or_doom(const sl_site *site, sl_transaction *t, sl__participant *p)
{
    sl_error *error = sl__catch(begin_part, p, NULL);
    if (!error)
        return;
    sl__transaction_failed(t, error);
    sl__fail_error(site, error);
}

void sl__join_transaction(const sl_site *site, const sl_resource *resource, void *data)
{
    sl_transaction *t = sl_transaction_current();
    if (!t)
        sl__fail_error(
            site, sl_error_hint(sl__error_new(site, SL_EINVAL, "%s finds no transaction here to take part in",
                                              resource->name),
                                "call it in a request's handler or inside sl_transact"));
    sl__transaction_check(site, t);
    if (has_joined(t, resource, data))
        return;
    sl__participant *p = sl_arena_zalloc(t->arena, sizeof *p);
    *p = (sl__participant){.resource = resource, .data = data};
    sl__participant **link = &t->participants;
    while (*link && (*link)->resource->order <= resource->order)
        link = &(*link)->next;
    p->next = *link;
    *link = p;
    if (resource->begin)
        begin_or_doom(site, t, p);
}

/* ---- Stages -------------------------------------------------------------------------------------------- */

static sl_transaction_fn *function_of(const sl_resource *resource, sl__stage stage)
{
    switch (stage) {
    case SL__STAGE_FLUSH:
        return resource->flush;
    case SL__STAGE_PREPARE:
        return resource->prepare;
    case SL__STAGE_VOTE:
        return resource->vote;
    case SL__STAGE_FINISH:
        return resource->finish;
    case SL__STAGE_ABORT:
        return resource->abort;
    }
    return NULL;
}

static void call_safely(const sl_transaction *t, const sl__participant *p, sl_transaction_fn *fn,
                        const char *what)
{
    sl_error *error = sl__call_told(fn, p->data);
    if (error)
        sl__log_told(sl_printf("%s could not %s its part of %s", p->resource->name, what, t->name), error);
}

void sl__participants_call(sl_transaction *t, sl__stage stage)
{
    for (sl__participant *p = t->participants; p; p = p->next) {
        sl_transaction_fn *fn = function_of(p->resource, stage);
        if (!fn)
            continue;
        if (stage == SL__STAGE_FINISH || stage == SL__STAGE_ABORT)
            call_safely(t, p, fn, stage == SL__STAGE_FINISH ? "finish" : "undo");
        else
            fn(p->data);
    }
}

/* ---- A file that is moved ------------------------------------------------------------------------------ */
/* In `vote` a second name of the new file is made beside its place, so that what can fail (another file
 * system, no rights, a full directory) has failed before the decision; `finish` renames it, which replaces
 * whole. */

typedef struct move {
    char *from, *to, *beside;
} move;

static sl_result sync_file(void *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return code == 0 ? sl_ok(NULL)
                     : sl_failed(sl_error_new(code, "%s cannot be brought to the disk: %s", (char *)path,
                                              sl_code_message(code)));
}

/* What the stores say of the file must not be true before the file is there. */
static void check_move(void *data)
{
    move *m = data;
    unlink(m->beside);
    if (link(m->from, m->beside) < 0)
        sl_fail(-errno, "%s cannot be moved to %s: %s", m->from, m->to, sl_code_message(-errno));
    sl_await(sl_in_thread(sync_file, sl_strdup_heap(m->from), free));
}

static void sync_directory(const char *path)
{
    char *copy = sl_strdup_heap(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

static void finish_move(void *data)
{
    move *m = data;
    if (rename(m->beside, m->to) < 0)
        sl_fail(-errno, "%s cannot be moved to %s: %s", m->beside, m->to, sl_code_message(-errno));
    unlink(m->from);
    sync_directory(m->to);
}

static void abort_move(void *data)
{
    move *m = data;
    unlink(m->beside);
    unlink(m->from); /* what was made for a commit that did not come */
}

static void *remember_nothing(void *data)
{
    return data;
}

static void keep_as_it_is(void *data, void *saved)
{
    (void)data;
    (void)saved;
}

static const sl_resource moves = {.name = "a file",
                                  .order = 100,
                                  .vote = check_move,
                                  .finish = finish_move,
                                  .abort = abort_move,
                                  .savepoint = remember_nothing,
                                  .roll_back = keep_as_it_is};

void sl__move_on_commit(const sl_site *site, const char *from, const char *to)
{
    sl_transaction *t = sl_transaction_current();
    struct stat status;
    if (!t)
        sl__fail(site, SL_EINVAL, "there is no transaction here with which %s could be moved", from);
    if (stat(from, &status) < 0 || !S_ISREG(status.st_mode))
        sl__fail(site, SL_ENOENT, "%s cannot be moved: there is no such file", from);
    move *m = sl_arena_alloc(t->arena, sizeof *m);
    *m = (move){.from = sl_arena_strdup(t->arena, from),
                .to = sl_arena_strdup(t->arena, to),
                .beside = sl_arena_printf(t->arena, "%s.%d.%p", to, (int)getpid(), (void *)m)};
    sl__join_transaction(site, &moves, m);
}
