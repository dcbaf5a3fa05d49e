/* overview.c: what a supervisor knows of its slot, as `silver status` gets it: what it sees itself, and what
 * the instances said of themselves. */
#include "run/member.h"
#include "run/supervisor.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

/* What a process holds now, in bytes. */
static json_int_t memory_of(int pid)
{
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (json_int_t)pages * sysconf(_SC_PAGESIZE);
}

static const char *state_of(const struct member *member)
{
    static const char *const names[] = {
        [MEMBER_STARTING] = "starting", [MEMBER_READY] = "serving", [MEMBER_DRAINING] = "draining"};
    if (member->state == MEMBER_READY && member->broken)
        return "broken";
    return names[member->state];
}

static json_t *one(const struct member *member, uint64_t now)
{
    json_t *instance = json_pack("{s:i, s:i, s:s, s:I, s:I, s:b}", "instance", (int)member->place, "pid",
                                 (int)member->process.pid, "state", state_of(member), "age_ms",
                                 (json_int_t)(now - member->started_at), "memory",
                                 memory_of((int)member->process.pid), "answers", member->report != NULL);
    if (member->report)
        json_object_update_missing(instance, member->report);
    return instance;
}

json_t *overview(const struct supervisor_options *options, const struct member *members, uint64_t now)
{
    json_t *instances = json_array(), *services = json_object();
    for (const struct member *member = members; member; member = member->next)
        json_array_insert_new(instances, 0, one(member, now)); /* the list has the last one first */
    const struct postgres *postgres = options->services ? &options->services->postgres : NULL;
    if (postgres && postgres->application)
        json_object_set_new(services, "postgres",
                            json_pack("{s:s, s:s, s:s}", "host", postgres->sockets, "dbname",
                                      postgres->database, "user", postgres->database));
    return json_pack("{s:i, s:i, s:s?, s:b, s:I, s:i, s:o, s:o}", "slot", options->slot_number, "pid",
                     (int)getpid(), "url", options->url, "production", options->production, "age_ms",
                     (json_int_t)(now - options->started_at), "wanted", (int)options->instances, "services",
                     services, "instances", instances);
}
