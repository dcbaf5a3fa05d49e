/* two_phase.h: one commit of several stores: all or none. See two_phase.c. */
#pragma once

#include "store/store.h"

/* Commits all sessions of a transaction that have a connection. NULL; or why nothing was committed, and all
 * are rolled back. In a task, behind a shield. */
sl_error *sl__sessions_commit(sl_transaction *transaction);
extern void (*sl__two_phase_step)(const char *what); /* for tests: called between the steps */
/* When it was opened: decides what an earlier process left prepared in it; what cannot be decided now is in
 * the background. */
void sl__two_phase_recover(sl_store *store);
