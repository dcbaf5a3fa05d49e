/* two_phase.c: one commit of several stores: all or none, also after kill -9 at any step.
 *
 * Each store that wrote, but one, prepares: it promises to be able to commit, and keeps the promise over its
 * own death (PREPARE TRANSACTION). The one that does not, the SQLite store if there is one, holds the
 * decision: a row for each of the others in its table sl_decision, with the name under which that prepared,
 * written in the same transaction as its own changes. Its commit decides. Then the others are told, and each
 * row is deleted when its store has heard, and never before: somebody may still have to ask.
 *
 * When a store is opened, whatever an earlier process left prepared in it is decided. For each name the row
 * is looked for; where there is none, one that says "abort" is put there first, so that a process that is
 * slow rather than dead can never decide otherwise: the name is the table's key. That makes recovery right
 * whoever does it and whenever; only so as not to disturb it leaves alone what belongs to a process that
 * lives, or may live elsewhere and has prepared just now.
 *
 * A name is silver/DECIDER/HOST/PROCESS/NUMBER/PARTY. DECIDER is a random identity that a database is given
 * with its table, so that two applications in one PostgreSQL do not meddle with each other. It is given when
 * the store is opened: were it first written by the transaction that it is to decide, it would be lost with
 * that.
 */
#include "store/two_phase.h"
#include "core/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GID_SIZE 190
#define FOREIGN_AGE_S "60"
enum { AGAIN_MS = 1000, AGAIN_MAX_MS = 30000 };

void (*sl__two_phase_step)(const char *what); /* tests die here */

static void step(const char *what)
{
    if (sl__two_phase_step)
        sl__two_phase_step(what);
}

/* ---- Who we are -------------------------------------------------------------------------------------- */

/* When a process began, in the clock ticks of /proc/PID/stat; 0: there is none. With its number it is nobody
 * else's. */
static unsigned long long process_start(long pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* The machine since its start, and the space of process numbers in it. */
static void put_host(char out[static 64])
{
    char boot[16] = "unknown";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file) {
        if (fread(boot, 1, 13, file) == 13)
            boot[13] = '\0';
        fclose(file);
    }
    struct stat status;
    unsigned long long space =
        stat("/proc/self/ns/pid", &status) == 0 ? (unsigned long long)status.st_ino : 0;
    snprintf(out, 64, "%s.%llx", boot, space);
}

/* ---- The decider's table ------------------------------------------------------------------------------- */

static int64_t run_text(sl_session *session, const char *sql, const sl_node *const *values)
{
    sl__statement statement;
    sl__compile_raw(SL_HERE, sql, values, session->store->dialect, &statement);
    statement.site = SL_HERE;
    statement.writes = statement.quick = true;
    return sl__run_whole(session, &statement);
}
#define RUN(session, sql, ...)                                                                               \
    run_text((session), (sql), (const sl_node *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* The texts of a query's first column, one after the other: calls fn for each. */
typedef void text_fn(const char *text, void *data);
static void each_text(sl_session *session, const char *sql, const sl_node *const *values, text_fn *fn,
                      void *data)
{
    sl__statement statement;
    sl__compile_raw(SL_HERE, sql, values, session->store->dialect, &statement);
    statement.site = SL_HERE;
    statement.quick = true;
    sl__running running SL_CLEANUP(sl__run_end) = {0};
    sl__field field = {.kind = SL_KIND_TEXT, .name = "gid"};
    bool more = true;
    sl_error *error = sl__run_begin(session, &statement, &running);
    while (!error) {
        const char *text = NULL;
        uint64_t nulls = 0;
        error = sl__run_step(&running, &more);
        if (error || !more)
            break;
        error = running.cursor->driver->read(running.cursor, 0, &field, 1, &text, &nulls, session->arena);
        if (!error)
            fn(text, data);
    }
    if (error)
        sl__run_fail(&running, error);
}
#define EACH(session, fn, data, sql, ...)                                                                    \
    each_text((session), (sql), (const sl_node *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL}, (fn), (data))

static void take_text(const char *text, void *data)
{
    *(const char **)data = text;
}

static void *read_identity(void *data)
{
    const char *identity = NULL;
    sl_session *session = sl__session_of(SL_HERE, data, /* writes= */ false);
    EACH(session, take_text, &identity, "SELECT decision FROM sl_decision WHERE gid = 'identity'");
    if (!identity)
        sl_fail(SL_ENOENT, "store %s has no identity", session->store->name);
    return NULL;
}

/* The database's identity; the table is made where it is missing. */
static const char *identity_of(sl_session *decider)
{
    char made[SL_UUID_SIZE];
    const char *identity = NULL;
    RUN(decider,
        "CREATE TABLE IF NOT EXISTS sl_decision (gid text PRIMARY KEY NOT NULL, decision text NOT NULL)");
    RUN(decider, "INSERT INTO sl_decision (gid, decision) VALUES ('identity', ?) ON CONFLICT DO NOTHING",
        sl__text_operand(sl_uuid_text(sl_uuid_new(), made)));
    EACH(decider, take_text, &identity, "SELECT decision FROM sl_decision WHERE gid = 'identity'");
    return identity;
}

static void *make_identity(void *data)
{
    identity_of(sl__session_of(SL_HERE, data, /* writes= */ true));
    return NULL;
}

static void *transact_identity(void *data)
{
    return sl_transact(make_identity, data, .retries = 3);
}

/* Where it cannot be given the store decides nothing, or will say so when it is to. */
static void give_identity(sl_store *store)
{
    sl_error *error = sl__catch(read_identity, store, NULL);
    if (!error)
        return;
    sl_error_unref(error);
    error = sl__catch(transact_identity, store, NULL);
    if (error)
        sl_debug("store %s was given no identity: %s", store->name, error->message);
    sl_error_unref(error);
}

/* ---- Committing -------------------------------------------------------------------------------------- */

static sl_error *commit_one(sl_session *session)
{
    sl__connection *connection = session->connection;
    if (!connection)
        return NULL;
    sl__session_bound(session);
    session->connection = NULL;
    return session->store->driver->commit(connection);
}

typedef struct parties {
    sl_transaction *t;
    sl_session *decider;
    char name[GID_SIZE - 12]; /* of all; each has its own below it */
    bool commits;             /* what decides was begun */
} parties;

static const char *name_of(const parties *p, const sl_session *session, char out[static GID_SIZE])
{
    snprintf(out, GID_SIZE, "%s/%u", p->name, session->party);
    return out;
}

static sl_session *find_decider(sl_transaction *t)
{
    sl_session *decider = NULL;
    for (sl_session *s = t->first; s; s = s->next) {
        if (!s->wrote || !s->connection)
            continue;
        if (s->store->driver->prepare) {
            decider = decider ? decider : s;
            continue;
        }
        if (decider && !decider->store->driver->prepare)
            sl__fail_error(t->site,
                           sl_error_hint(sl__error_new(t->site, SL_EINVAL,
                                                       "%s wrote to two stores of SQLite, %s and %s, "
                                                       "which cannot be committed together",
                                                       t->name, decider->store->name, s->store->name),
                                         "keep what belongs together in one file"));
        decider = s;
    }
    return decider;
}

static void decide_later(sl_store *store, const char *gid);
static void forget_later(sl_store *decider, const char *gid);

/* Names them, and writes all that will have been decided down. */
static void write_decision(parties *p)
{
    static _Atomic unsigned long long number;
    char host[64], gid[GID_SIZE];
    unsigned count = 0;
    put_host(host);
    snprintf(p->name, sizeof p->name, "silver/%s/%s/%ld-%llu/%llu", identity_of(p->decider), host,
             (long)getpid(), process_start(getpid()), ++number);
    for (sl_session *s = p->t->first; s; s = s->next) {
        if (s == p->decider || !s->wrote || !s->connection)
            continue;
        s->party = ++count;
        RUN(p->decider, "INSERT INTO sl_decision (gid, decision) VALUES (?, 'commit')",
            sl__text_operand(name_of(p, s, gid)));
    }
}

static void *prepare_all(void *data)
{
    parties *p = data;
    char gid[GID_SIZE];
    p->decider = find_decider(p->t);
    write_decision(p);
    for (sl_session *s = p->t->first; s; s = s->next) {
        if (!s->party)
            continue;
        step("before prepare");
        sl__connection *connection = s->connection;
        sl__session_bound(s);
        s->connection = NULL;
        sl_error *error = s->store->driver->prepare(connection, name_of(p, s, gid));
        if (error && error->code == SL_EDISCONNECTED) /* it may be prepared all the same, and hold locks */
            decide_later(s->store, gid);
        if (error)
            sl_fail_error(error);
        s->prepared = true;
    }
    step("prepared");
    return NULL;
}

/* The decision has fallen. What cannot be told now is told later: nothing is lost but time. */
static void tell(const parties *p, sl_session *session, bool commit)
{
    char gid[GID_SIZE];
    sl_error *error = session->store->driver->decide(session->store, name_of(p, session, gid), commit);
    session->prepared = false;
    if (!error) {
        if (commit)
            forget_later(p->decider->store, gid);
        return;
    }
    sl_warning("store %s could not be told yet that %s is %s (%s): it is tried again", session->store->name,
               gid, commit ? "committed" : "rolled back", error->message);
    sl_error_unref(error);
    decide_later(session->store, gid);
}

/* Whether nobody here knows how it was decided: the answer was lost, or a disk that failed may have kept it.
 * Then recovery asks the decider, which makes it certain. */
static bool is_unknown(const parties *p, const sl_error *error)
{
    return error && p->commits && (error->code == SL_EDISCONNECTED || error->code == SL_EDATABASE);
}

static sl_error *commit_parties(parties *p)
{
    char gid[GID_SIZE];
    sl_error *error = sl__catch(prepare_all, p, NULL);
    if (!error) {
        step("before decision");
        p->commits = true;
        error = commit_one(p->decider);
        step("decided");
    }
    for (sl_session *s = p->t->first; s; s = s->next) {
        if (!s->prepared)
            continue;
        if (is_unknown(p, error))
            decide_later(s->store, name_of(p, s, gid));
        else
            tell(p, s, /* commit= */ !error);
        step("told one");
    }
    return error;
}

sl_error *sl__sessions_commit(sl_transaction *t)
{
    unsigned writers = 0;
    sl_session *writer = NULL;
    for (sl_session *s = t->first; s; s = s->next) {
        if (s->connection && s->wrote) {
            writers++;
            writer = s;
            continue;
        }
        sl_error *error = commit_one(s);
        if (error)
            return error;
    }
    if (writers < 2)
        return writer ? commit_one(writer) : NULL;
    parties p = {.t = t};
    return commit_parties(&p);
}

typedef struct done {
    sl_store *store;
    char gid[GID_SIZE];
} done;

/* ---- Forgetting decisions ---------------------------------------------------------------------------- */

static void *forget_decision(void *data)
{
    done *d = data;
    sl_session *session = sl__session_of(SL_HERE, d->store, /* writes= */ true);
    RUN(session, "DELETE FROM sl_decision WHERE gid = ?", sl__text_operand(d->gid));
    return NULL;
}

static void *forget_in_transaction(void *data)
{
    sl_defer(free, data);
    sl_transact(forget_decision, data, .retries = 3);
    return NULL;
}

/* It has been told: its row has served. Where this fails it stays, and harms nobody. */
static void forget_later(sl_store *decider, const char *gid)
{
    done *d = sl_calloc(1, sizeof *d);
    d->store = decider;
    snprintf(d->gid, sizeof d->gid, "%s", gid);
    sl_background(forget_in_transaction, d);
}

/* ---- Recovery ---------------------------------------------------------------------------------------- */

typedef struct found {
    const char **gids;
    size_t count, size;
} found;

static void keep_gid(const char *text, void *data)
{
    found *f = data;
    if (f->count == f->size) {
        f->size = f->size ? 2 * f->size : 16;
        const char **gids = sl_alloc(f->size * sizeof *gids);
        if (f->count)
            memcpy(gids, f->gids, f->count * sizeof *gids);
        f->gids = gids;
    }
    f->gids[f->count++] = sl_strdup(text);
}

static void *find_prepared(void *data)
{
    sl_store *store = ((void **)data)[0];
    found *f = ((void **)data)[1];
    sl_session *session = sl__session_of(SL_HERE, store, /* writes= */ false);
    /* Those of elsewhere only when they are old: they may be about to be decided. */
    char host[64], like[80];
    put_host(host);
    snprintf(like, sizeof like, "silver/%%/%s/%%", host);
    EACH(session, keep_gid, f,
         "SELECT gid::text FROM pg_prepared_xacts WHERE database = current_database() AND gid LIKE "
         "'silver/%' AND "
         "(gid LIKE ? OR prepared < now() - interval '" FOREIGN_AGE_S " seconds')",
         sl__text_operand(like));
    return NULL;
}

/* Whether it belongs to a process of this machine that lives. Its own thread's commits among them. */
static bool is_alive(const char *gid)
{
    char host[64];
    put_host(host);
    const char *at = strstr(gid, host);
    long pid;
    unsigned long long start;
    if (!at || sscanf(at + strlen(host), "/%ld-%llu/", &pid, &start) != 2)
        return false;
    return process_start(pid) == start;
}

typedef struct question {
    sl_store *decider;
    const char *gid;
    const char *answer; /* "commit", "abort"; NULL: it is another database's to say */
} question;

static void *ask(void *data)
{
    question *q = data;
    sl_session *session = sl__session_of(SL_HERE, q->decider, /* writes= */ true);
    const char *identity = identity_of(session);
    size_t size = strlen(identity);
    q->answer = NULL;
    if (strncmp(q->gid + strlen("silver/"), identity, size) != 0 || q->gid[strlen("silver/") + size] != '/')
        return NULL;
    RUN(session, "INSERT INTO sl_decision (gid, decision) VALUES (?, 'abort') ON CONFLICT DO NOTHING",
        sl__text_operand(q->gid));
    EACH(session, take_text, &q->answer, "SELECT decision FROM sl_decision WHERE gid = ?",
         sl__text_operand(q->gid));
    q->answer = q->answer ? sl_strdup(q->answer) : NULL;
    return NULL;
}

static void decide_one(sl_store *store, const char *gid)
{
    for (sl_store *decider = store->stores->first; decider; decider = decider->next) {
        if (decider != store && !decider->opened)
            sl__store_named(SL_HERE, decider->name);
        question q = {.decider = decider, .gid = gid};
        sl_transact(ask, &q, .retries = 3);
        if (!q.answer)
            continue;
        bool commit = strcmp(q.answer, "commit") == 0;
        sl_error *error = store->driver->decide(store, gid, commit);
        if (error)
            sl_fail_error(error);
        sl_info("store %s: a transaction that an earlier process left prepared was %s", store->name,
                commit ? "committed" : "rolled back");
        forget_later(decider, gid);
        return;
    }
    sl_warning(
        "store %s: %s is prepared there and holds locks, and no store of this application decides it: it "
        "is another application's, or the database that decided is lost (then end it by hand: ROLLBACK "
        "PREPARED, or COMMIT PREPARED)",
        store->name, gid);
}

static void *decide_it(void *data)
{
    done *d = data;
    decide_one(d->store, d->gid);
    return NULL;
}

/* What cannot be decided keeps nobody else waiting. */
static void *recover(void *data)
{
    sl_store *store = data;
    found f = {0};
    sl_error *failed = NULL;
    sl_transact(find_prepared, ((void *[]){store, &f}), .read_only = true);
    for (size_t i = 0; i < f.count; i++) {
        done d = {.store = store};
        snprintf(d.gid, sizeof d.gid, "%s", f.gids[i]);
        sl_error *error = is_alive(d.gid) ? NULL : sl__catch(decide_it, &d, NULL);
        if (failed)
            sl_error_unref(error);
        else
            failed = error;
    }
    if (failed)
        sl_fail_error(failed);
    return NULL;
}

static void try_until_done(sl_task_fn *fn, void *data)
{
    for (uint64_t ms = AGAIN_MS;; ms = 2 * ms < AGAIN_MAX_MS ? 2 * ms : AGAIN_MAX_MS)
        SL_SCRATCH()
        {
            sl_await(sl_sleep(ms));
            sl_error *error = sl__catch(fn, data, NULL);
            if (!error)
                return;
            sl_error_unref(error);
        }
}

/* One of our own that could not be told: again and again, until it is. */
static void *try_to_decide(void *data)
{
    sl_defer(free, data);
    try_until_done(decide_it, data);
    return NULL;
}

static void decide_later(sl_store *store, const char *gid)
{
    done *d = sl_calloc(1, sizeof *d);
    d->store = store;
    snprintf(d->gid, sizeof d->gid, "%s", gid);
    sl_background(try_to_decide, d);
}

static void *try_to_recover(void *data)
{
    try_until_done(recover, data);
    return NULL;
}

void sl__two_phase_recover(sl_store *store)
{
    if (store->stores->first->next) /* it may be committed with another */
        give_identity(store);
    sl_error *error = store->driver->prepare ? sl__catch(recover, store, NULL) : NULL;
    if (!error)
        return;
    sl_warning("store %s: not all that an earlier process left prepared could be decided yet (%s): it is "
               "tried again",
               store->name, error->message);
    sl_error_unref(error);
    sl_background(try_to_recover, store);
}
