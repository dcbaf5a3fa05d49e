/* queue.c: where calls wait: a line for each priority, first come first served. */
#include "subsystem/manager.h"

/* Urgent ones first. */
static struct sl__line *line_of(sl__queue *queue, const sl__errand *errand)
{
    static const unsigned char order[SL__PRIORITIES] = {[SL_NORMAL] = 1, [SL_URGENT] = 0, [SL_IDLE] = 2};
    return &queue->lines[order[errand->priority]];
}

void sl__queue_append(sl__queue *queue, sl__errand *errand)
{
    struct sl__line *line = line_of(queue, errand);
    errand->queue = queue;
    errand->next = NULL;
    errand->previous = line->last;
    if (line->last)
        line->last->next = errand;
    else
        line->first = errand;
    line->last = errand;
    queue->count++;
}

void sl__queue_prepend(sl__queue *queue, sl__errand *errand)
{
    struct sl__line *line = line_of(queue, errand);
    errand->queue = queue;
    errand->previous = NULL;
    errand->next = line->first;
    if (line->first)
        line->first->previous = errand;
    else
        line->last = errand;
    line->first = errand;
    queue->count++;
}

void sl__queue_remove(sl__errand *errand)
{
    sl__queue *queue = errand->queue;
    struct sl__line *line = line_of(queue, errand);
    *(errand->previous ? &errand->previous->next : &line->first) = errand->next;
    *(errand->next ? &errand->next->previous : &line->last) = errand->previous;
    errand->next = errand->previous = NULL;
    errand->queue = NULL;
    queue->count--;
}

sl__errand *sl__queue_first(const sl__queue *queue)
{
    for (unsigned i = 0; i < SL__PRIORITIES; i++)
        if (queue->lines[i].first)
            return queue->lines[i].first;
    return NULL;
}
