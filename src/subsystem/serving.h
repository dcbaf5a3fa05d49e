/* serving.h: the calls that a child carries out. */
#pragma once

#include "subsystem/hello.h"
#include "subsystem/wire.h"

typedef struct sl__serving sl__serving;

sl__serving *sl__serving_new(sl_loop *loop, sl__wire *wire, const sl_offer *offer);
sl__serving *sl__serving_free(sl__serving *serving); /* takes NULL; nothing may run any more */
/* CALL, and CANCEL of one: whether the packet was one of these. A call begins to run with the loop's next
 * work, or when another has ended, where as many run as may at once. */
bool sl__serving_packet(sl__serving *serving, const sl__packet *packet);
/* Around packets that are taken one after another: they begin here, and should end, for a while, there. */
void sl__serving_batch(sl__serving *serving);
bool sl__serving_batch_over(const sl__serving *serving);
uint64_t sl__serving_clock(const sl__serving *serving); /* when it last looked at the clock */
/* Whether no call runs or waits. */
bool sl__serving_idle(const sl__serving *serving);
