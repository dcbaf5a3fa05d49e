/* beneath.h: opening files that are inside a directory, and only those. Uses neither loop nor task. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct sl__beneath {
    char *directory;
    int fd; /* with O_PATH */
    uint64_t device, inode;
    bool by_steps; /* there is no openat2: names are walked one by one, links refused */
} sl__beneath;

/* 0 or a negative code; on failure there is nothing to give back. */
int sl__beneath_init(sl__beneath *beneath, const char *directory);
void sl__beneath_done(sl__beneath *beneath);
/* Turns to another directory if one has taken the name since. On failure the old one stays. */
int sl__beneath_refresh(sl__beneath *beneath);
/* Opens a file for reading by its path relative to the directory, without "." and empty names: a descriptor
 * or a negative code. With `cached` it gives up with -EAGAIN where it would have to wait for a disk. */
int sl__beneath_open(const sl__beneath *beneath, const char *path, bool cached);
