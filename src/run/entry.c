/* entry.c: from a C application's shared object to its entry.
 *
 * For `silver check` it is read as a file and not loaded: loading would run what the application does before
 * its entry, and a check runs nothing of it. */
#include "run/entry.h"

#include <dlfcn.h>

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A part of the file, or NULL if it does not lie in it. */
static const void *part(sl_view file, uint64_t offset, uint64_t size)
{
    return offset <= file.size && size <= file.size - offset && offset % sizeof(ElfW(Addr)) == 0
               ? file.data + offset
               : NULL;
}

static bool defines(sl_view file, const ElfW(Shdr) * symbols, const ElfW(Shdr) * strings, const char *name)
{
    size_t count = symbols->sh_size / sizeof(ElfW(Sym)), size = strlen(name) + 1;
    const ElfW(Sym) *symbol = part(file, symbols->sh_offset, symbols->sh_size);
    sl_view names = {file.data + strings->sh_offset, strings->sh_size};
    if (!symbol || strings->sh_offset > file.size || names.size > file.size - strings->sh_offset)
        return false;
    for (size_t i = 0; i < count; i++, symbol++)
        if (symbol->st_shndx != SHN_UNDEF && symbol->st_name < names.size &&
            size <= names.size - symbol->st_name && memcmp(names.data + symbol->st_name, name, size) == 0)
            return true;
    return false;
}

/* What has no table of names, or is no shared object of this machine, is not judged. */
static int find(sl_view file, const char *name)
{
    const ElfW(Ehdr) *head = part(file, 0, sizeof(*head));
    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_shentsize != sizeof(ElfW(Shdr)))
        return SL_EINVAL;
    const ElfW(Shdr) *sections = part(file, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*sections));
    for (size_t i = 0; sections && i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_DYNSYM && sections[i].sh_link < head->e_shnum)
            return defines(file, &sections[i], &sections[sections[i].sh_link], name);
    return SL_EINVAL;
}

/* 1 if it exports the name, 0 if not; or a code if it cannot be read. */
int exports_name(const char *path, const char *name)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    void *map = MAP_FAILED;
    size_t size = fstat(fd, &status) == 0 ? (size_t)status.st_size : 0;
    if (size)
        map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return SL_EIO;
    int found = find((sl_view){map, size}, name);
    munmap(map, size);
    return found;
}

#define MISSING_HINT "one of the sources must say SL_APPLICATION(app) { sl_route(app, …); }"

void check_entry(const struct manifest *manifest, const struct build *build, struct complaints *complaints)
{
    if (exports_name(build->path, "sl_application") == 0)
        complaints_add(complaints, RUN_BUILD_FAILED, manifest->runner, 0, "the application has no entry")
            ->hint = sl_strdup_heap(MISSING_HINT);
}

static void start(sl_app *app, void *data)
{
    sl_application_fn *entry;
    *(void **)&entry = data;
    entry(app);
}

int load_entry(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
               sl_error **ret_error)
{
    void *library = dlopen(build->path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *ret_error = sl_error_new(SL_EBUILD, "the application cannot be loaded: %s", dlerror());
        return SL_EBUILD;
    }
    const unsigned *abi = dlsym(library, "sl_application_abi");
    void *entry = dlsym(library, "sl_application");
    if (!abi || !entry) {
        *ret_error =
            sl_error_hint(sl_error_new(SL_EBUILD, "%s has no entry", manifest->runner), MISSING_HINT);
    } else if (*abi != SL_ABI) {
        *ret_error = sl_error_new(SL_EBUILD,
                                  "the application was built for version %u of libsilver's binary interface; "
                                  "this is version %u",
                                  *abi, SL_ABI);
    } else {
        *ret_loaded = (struct loaded){.start = start, .data = entry};
        return 0;
    }
    dlclose(library); /* or the next one of this path would be this one again */
    return SL_EBUILD;
}
