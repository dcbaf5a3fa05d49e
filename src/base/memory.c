/* memory.c: allocation that ends the process rather than fail, and arenas.
 *
 * An arena is a list of chunks. Memory is taken from the newest chunk by moving a pointer; what does not fit
 * gets a new chunk, twice as large as the last up to a limit, or one of its own if it is large. */
#include <silver/base.h>

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static SL_NORETURN void out_of_memory(size_t size)
{
    char text[96];
    int length = snprintf(text, sizeof text, "silver: out of memory (%zu bytes were asked for)\n", size);
    if (write(STDERR_FILENO, text, (size_t)length) < 0) {
        /* nothing is left to do */
    }
    abort();
}

void *sl_malloc(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (!memory)
        out_of_memory(size);
    return memory;
}

void *sl_calloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        out_of_memory(count * size);
    return memory;
}

void *sl_realloc(void *memory, size_t size)
{
    void *moved = realloc(memory, size ? size : 1);
    if (!moved)
        out_of_memory(size);
    return moved;
}

char *sl_strdup_heap(const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(sl_malloc(size), string, size);
}

char *sl_printf_heap(const char *format, ...)
{
    sl_buffer out = {0};
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(&out, format, arguments);
    va_end(arguments);
    return out.data;
}

/* ---- Arenas ---- */

#define FIRST_CHUNK 4096
#define LARGEST_CHUNK 262144

typedef struct chunk {
    struct chunk *previous;
    size_t size;
    alignas(max_align_t) char data[];
} chunk;

struct sl_arena {
    char *next, *end; /* what is left of the newest chunk */
    chunk *newest;
    size_t used;
};

static chunk *chunk_new(size_t size, chunk *previous)
{
    if (size > SIZE_MAX - sizeof(chunk))
        out_of_memory(size);
    chunk *made = sl_malloc(sizeof *made + size);
    made->previous = previous;
    made->size = size;
    return made;
}

static sl_arena *arena_new(size_t size)
{
    /* The arena lives in its own first chunk. */
    chunk *first = chunk_new(size, NULL);
    sl_arena *arena = (sl_arena *)first->data;
    *arena =
        (sl_arena){.next = first->data + sizeof *arena, .end = first->data + first->size, .newest = first};
    return arena;
}

sl_arena *sl_arena_new(void)
{
    return arena_new(FIRST_CHUNK - sizeof(chunk));
}

sl_arena *sl_arena_new_sized(size_t size)
{
    size_t aligned = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (aligned < size || aligned > SIZE_MAX - sizeof(sl_arena))
        out_of_memory(size);
    return arena_new(aligned + sizeof(sl_arena));
}

static chunk *free_but_first(chunk *newest)
{
    while (newest->previous) {
        chunk *previous = newest->previous;
        free(newest);
        newest = previous;
    }
    return newest;
}

sl_arena *sl_arena_free(sl_arena *arena)
{
    if (arena)
        free(free_but_first(arena->newest));
    return NULL;
}

void sl_arena_reset(sl_arena *arena)
{
    chunk *first = arena->newest->previous ? free_but_first(arena->newest) : arena->newest;
    *arena =
        (sl_arena){.next = first->data + sizeof *arena, .end = first->data + first->size, .newest = first};
}

size_t sl_arena_used(const sl_arena *arena)
{
    return arena->used;
}

static void *alloc_in_new_chunk(sl_arena *arena, size_t size)
{
    size_t next_size = arena->newest->size * 2;
    if (next_size > LARGEST_CHUNK)
        next_size = LARGEST_CHUNK;
    if (size > next_size / 4 && arena->newest->previous) {
        /* Large: a chunk of its own, behind the newest, which still has room. */
        chunk *own = chunk_new(size, arena->newest->previous);
        arena->newest->previous = own;
        return own->data;
    }
    if (size > next_size)
        next_size = size;
    arena->newest = chunk_new(next_size, arena->newest);
    arena->next = arena->newest->data + size;
    arena->end = arena->newest->data + next_size;
    return arena->newest->data;
}

void *sl_arena_alloc(sl_arena *arena, size_t size)
{
    size_t aligned = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (aligned < size)
        out_of_memory(size);
    arena->used += aligned;
    if (aligned <= (size_t)(arena->end - arena->next)) {
        char *memory = arena->next;
        arena->next += aligned;
        return memory;
    }
    return alloc_in_new_chunk(arena, aligned);
}

void *sl_arena_zalloc(sl_arena *arena, size_t size)
{
    return memset(sl_arena_alloc(arena, size), 0, size);
}

char *sl_arena_strndup(sl_arena *arena, const char *data, size_t size)
{
    char *copy = sl_arena_alloc(arena, size + 1);
    if (size)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

char *sl_arena_strdup(sl_arena *arena, const char *string)
{
    return sl_arena_strndup(arena, string, strlen(string));
}

char *sl_arena_vprintf(sl_arena *arena, const char *format, va_list arguments)
{
    char text[256];
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(text, sizeof text, format, arguments);
    char *made = sl_arena_alloc(arena, (size_t)(size < 0 ? 0 : size) + 1);
    if (size < 0)
        *made = '\0';
    else if ((size_t)size < sizeof text)
        memcpy(made, text, (size_t)size + 1);
    else
        vsnprintf(made, (size_t)size + 1, format, again);
    va_end(again);
    return made;
}

char *sl_arena_printf(sl_arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *made = sl_arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return made;
}
