/* files.c: a file is written, read, listed and removed. */
#include <silver/silver.h>

#include <stdio.h>
#include <stdlib.h>

static void *program(void *data)
{
    const char *directory = data;
    char *path = sl_printf("%s/greeting", directory);
    sl_await(sl_file_write(path, "hello\n", 6)); /* beside, synced, renamed: all of it or nothing */

    sl_bytes *text = sl_await(sl_file_read(path, /* max= */ 1000));
    printf("%zu bytes: %s", text->size, text->data);

    sl_directory *list = sl_await(sl_directory_list(directory));
    for (size_t i = 0; i < list->count; i++)
        printf("there is %s\n", list->entries[i].name);

    sl_await(sl_file_remove(path));

    sl_error *error;
    if (!sl_try(sl_file_read(path, 0),
                &error)) /* sl_try gives the error; sl_await would end the task with it */
        printf("now it is gone: %s\n", sl_code_message(error->code));
    sl_await(sl_file_remove(directory));
    return NULL;
}

int main(void)
{
    char directory[] = "/tmp/silver-sample-XXXXXX";
    if (!mkdtemp(directory))
        return 1;
    return sl_run("files", program, directory, NULL) < 0;
}
