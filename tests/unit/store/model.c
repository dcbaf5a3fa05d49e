/* Descriptions of models that several threads are the first to use. */
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, MODELS = 400 };

#define THING(F) F(id, integer, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED, SL_DEFAULT("x")) F(count, integer)
SL_MODEL(thing, THING);

static sl_model models[MODELS];
static pthread_barrier_t begin;

typedef struct seen {
    unsigned numbers[MODELS];
    const sl__model_info *infos[MODELS];
} seen;

static void *use_all(void *data)
{
    seen *s = data;
    pthread_barrier_wait(&begin);
    for (unsigned i = 0; i < MODELS; i++) {
        s->infos[i] = sl__model_info_of(SL_HERE, &models[i]);
        s->numbers[i] = sl__model_number(&models[i]);
    }
    return NULL;
}

static void threads_see_one_description(void **state)
{
    static seen all[THREADS];
    static char names[MODELS][16];
    pthread_t threads[THREADS];
    (void)state;
    for (unsigned i = 0; i < MODELS; i++) {
        models[i] = *thing_model();
        models[i].name = names[i];
        snprintf(names[i], sizeof names[i], "thing%u", i / 2); /* two of each name */
    }
    assert_int_equal(pthread_barrier_init(&begin, NULL, THREADS), 0);
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, use_all, &all[t]), 0);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (unsigned i = 0; i < MODELS; i++)
        for (unsigned t = 0; t < THREADS; t++) {
            assert_ptr_equal(all[t].infos[i], models[i].info);
            assert_int_equal(all[t].numbers[i], all[0].numbers[i / 2 * 2]);
        }
    pthread_barrier_destroy(&begin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_see_one_description),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
