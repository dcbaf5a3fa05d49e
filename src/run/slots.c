/* slots.c: places to serve at, held by locks on files. */
#include "run/slots.h"
#include "run/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A directory that others could write to, or own, would let them take our sockets' places. */
static int own_directory(const char *path, sl_error **ret_error)
{
    struct stat status;
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        int code = -errno;
        *ret_error =
            sl_error_new(code, "cannot make the runtime directory %s: %s", path, sl_code_message(code));
        return code;
    }
    if (lstat(path, &status) < 0 || !S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 022)) {
        *ret_error =
            sl_error_hint(sl_error_new(SL_EACCES, "the runtime directory %s is not ours alone", path),
                          "remove it, or set XDG_RUNTIME_DIR to a directory of your own");
        return SL_EACCES;
    }
    return 0;
}

int runtime_directory(const char *application, char **ret_path, sl_error **ret_error)
{
    struct digest digest;
    char name[DIGEST_TEXT_SIZE];
    digest_init(&digest);
    digest_puts(&digest, application);
    digest_text(&digest, name);
    name[16] = '\0'; /* short, as socket paths must be */
    const char *given = getenv("XDG_RUNTIME_DIR");
    char *base = given && *given == '/' ? sl_printf_heap("%s/silver", given)
                                        : sl_printf_heap("/tmp/silver-%u", (unsigned)geteuid());
    char *path = sl_printf_heap("%s/%s", base, name);
    char *slots = sl_printf_heap("%s/slots", path);
    char *bus = sl_printf_heap("%s/bus", path);
    const char *steps[] = {base, path, slots, bus};
    int code = 0;
    for (size_t i = 0; i < sl_array_size(steps) && code == 0; i++)
        code = own_directory(steps[i], ret_error);
    free(base);
    free(slots);
    free(bus);
    if (code < 0) {
        free(path);
        return code;
    }
    *ret_path = path;
    return 0;
}

/* Tries one slot: 0, SL_EBUSY, or what the operating system said. */
static int try_slot(const char *runtime, const struct manifest_slot *place, struct slot *ret_slot)
{
    char *path = sl_printf_heap("%s/slots/%d", runtime, place->number);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int code = fd < 0 ? -errno : 0;
    free(path);
    if (code < 0)
        return code;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        code = errno == EWOULDBLOCK ? SL_EBUSY : -errno;
        close(fd);
        return code;
    }
    struct stat status;
    bool abandoned = fstat(fd, &status) == 0 && status.st_size > 0;
    *ret_slot = (struct slot){.place = place, .fd = fd, .abandoned = abandoned};
    return 0;
}

/* "slot 0: process 123, since 2026-11-21 13:58:27, at http://…" */
static void describe_holder(const char *runtime, const struct manifest_slot *place, sl_buffer *out)
{
    char *path = sl_printf_heap("%s/slots/%d", runtime, place->number);
    FILE *file = fopen(path, "re");
    free(path);
    char line[256] = "";
    if (file) {
        if (!fgets(line, sizeof(line), file))
            line[0] = '\0';
        fclose(file);
    }
    line[strcspn(line, "\n")] = '\0';
    sl_buffer_printf(out, "%sslot %d: %s", out->size ? "\n" : "", place->number,
                     *line ? line : "a process that is still starting");
}

int slot_take(const char *runtime, const struct manifest *manifest, int wanted, struct slot *ret_slot,
              sl_error **ret_error)
{
    sl_buffer holders = {0};
    bool known = false;
    for (size_t i = 0; i < manifest->slot_count; i++) {
        const struct manifest_slot *place = &manifest->slots[i];
        if (wanted >= 0 && place->number != wanted)
            continue;
        known = true;
        int code = try_slot(runtime, place, ret_slot);
        if (code == SL_EBUSY) {
            describe_holder(runtime, place, &holders);
            continue;
        }
        if (code < 0)
            *ret_error = sl_error_new(code, "slot %d cannot be taken: %s in %s/slots", place->number,
                                      sl_code_message(code), runtime);
        sl_buffer_done(&holders);
        return code;
    }
    if (!known) {
        *ret_error = sl_error_hint(sl_error_new(SL_ECONFIG, "%s has no slot %d", manifest->path, wanted),
                                   "add it to [slots]: `%d = 127.0.0.1:%d`", wanted, 8080 + wanted);
        return SL_ECONFIG;
    }
    if (wanted >= 0)
        *ret_error = sl_error_new(SL_EBUSY, "slot %d of %s is taken", wanted, manifest->app_name);
    else
        *ret_error = sl_error_new(SL_EBUSY, "all slots of %s are taken", manifest->app_name);
    sl_error_detail(*ret_error, holders.data, holders.size);
    sl_error_hint(*ret_error, "stop one of them, or add a slot to [slots] in %s", manifest->path);
    sl_buffer_done(&holders);
    return SL_EBUSY;
}

void slot_describe(const struct slot *slot, const char *address)
{
    char since[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &local));
    char *line = sl_printf_heap("process %d, since %s, at %s\n", (int)getpid(), since, address);
    /* What stands here is a courtesy: a full disk must not keep a server from starting. */
    if (ftruncate(slot->fd, 0) < 0 || pwrite(slot->fd, line, strlen(line), 0) < 0)
        sl_log_to(sl_logger_stderr(), SL_WARNING, SL_HERE, "slot %d: cannot note who holds it: %s",
                  slot->place->number, strerror(errno));
    free(line);
}

void slot_release(struct slot *slot)
{
    if (slot->fd < 0)
        return;
    if (ftruncate(slot->fd, 0) < 0)
        sl_log_to(sl_logger_stderr(), SL_WARNING, SL_HERE, "slot %d: cannot clear its file: %s",
                  slot->place->number, strerror(errno));
    close(slot->fd);
    slot->fd = -1;
}
