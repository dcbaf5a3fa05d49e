/* commit.h: how a transaction ends, and what goes with that. */
#pragma once

#include "store/store.h"

/* So long those may take who are told how it ended, also where its task was cancelled. */
enum { SL__TOLD_MS = 10000 };

/* commit.c: runs the hooks before the commit and writes all that is to be written. By exit. */
void sl__transaction_write(sl_transaction *transaction);
/* Asks all that take part, and commits what was written. By exit, and then nothing is committed. */
void sl__transaction_commit(sl_transaction *transaction);
/* Rolls back. Takes over the error and gives the one to fail with: the first cause, if it was doomed by
 * something else. */
sl_error *sl__transaction_abort(sl_transaction *transaction, sl_error *error);
/* hook.c: the hooks of a kind, in order. Those of before-commit may add others and fail (by exit); failures
 * of the others are logged. */
void sl__run_hooks(sl_transaction *transaction, sl__hook_kind kind);
/* Calls who is told how it ended, in a shield: NULL, or the failure, which is only logged (taken over). */
sl_error *sl__call_told(sl_transaction_fn *fn, void *data);
void sl__log_told(const char *who, sl_error *error);
unsigned sl__count_hooks(const sl_transaction *transaction, sl__hook_kind kind);
/* After the end, outside the transaction. */
void sl__run_after_hooks(sl_transaction *transaction);
/* Undoes what was registered since the list of hooks ended at `last`. */
void sl__hooks_undo(sl_transaction *transaction, sl__hook **last);

/* resource.c: calls one function of all participants. By exit for the first that fails. */
typedef enum sl__stage {
    SL__STAGE_FLUSH,
    SL__STAGE_PREPARE,
    SL__STAGE_VOTE,
    SL__STAGE_FINISH, /* failures are logged */
    SL__STAGE_ABORT,  /* likewise */
} sl__stage;
void sl__participants_call(sl_transaction *transaction, sl__stage stage);
