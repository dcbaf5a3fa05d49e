/* words.c: the module that does the work. Its child process loads it. */
#include "words.h"

#include <string.h>

/* In a task of the child, which may block. */
static void count(const struct words_count *arguments, struct words_counted *result)
{
    char *text = sl_strdup(arguments->text);
    for (char *at, *word = strtok_r(text, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
        if (strlen(word) < (size_t)arguments->shortest)
            continue;
        result->words++;
        if (!result->longest || strlen(word) > strlen(result->longest))
            result->longest = word;
    }
    if (!result->words)
        sl_fail(SL_EINVAL, "there is no word in \"%s\"", arguments->text);
}

static const struct words_methods methods = {.count = count};
SL_PLUGIN(words, SL_OFFERS(words, &methods, .maximum = 2, .timeout_ms = 5000));
