/* postgres_libpq.h: libpq, loaded when a store of PostgreSQL is first opened.
 *
 * It brings some twenty libraries with it, Kerberos and LDAP among them, which an application without
 * PostgreSQL never uses: linked in, they would make every instance slower to start and larger. */
#pragma once

#include <silver/base.h>

#include <libpq-fe.h>

#define SL__LIBPQ_FUNCTIONS(X)                                                                               \
    X(backendPID)                                                                                            \
    X(cancel)                                                                                                \
    X(clear)                                                                                                 \
    X(cmdStatus)                                                                                             \
    X(cmdTuples)                                                                                             \
    X(conndefaults)                                                                                          \
    X(connectPoll)                                                                                           \
    X(connectStartParams)                                                                                    \
    X(conninfoFree)                                                                                          \
    X(conninfoParse)                                                                                         \
    X(consumeInput)                                                                                          \
    X(db)                                                                                                    \
    X(enterPipelineMode)                                                                                     \
    X(errorMessage)                                                                                          \
    X(exitPipelineMode)                                                                                      \
    X(finish)                                                                                                \
    X(flush)                                                                                                 \
    X(freeCancel)                                                                                            \
    X(freemem)                                                                                               \
    X(ftype)                                                                                                 \
    X(getCancel)                                                                                             \
    X(getResult)                                                                                             \
    X(getisnull)                                                                                             \
    X(getlength)                                                                                             \
    X(getvalue)                                                                                              \
    X(gssEncInUse)                                                                                           \
    X(host)                                                                                                  \
    X(isBusy)                                                                                                \
    X(nfields)                                                                                               \
    X(ntuples)                                                                                               \
    X(pipelineSync)                                                                                          \
    X(port)                                                                                                  \
    X(putCopyData)                                                                                           \
    X(putCopyEnd)                                                                                            \
    X(resultErrorField)                                                                                      \
    X(resultErrorMessage)                                                                                    \
    X(resultStatus)                                                                                          \
    X(sendPrepare)                                                                                           \
    X(sendQuery)                                                                                             \
    X(sendQueryParams)                                                                                       \
    X(sendQueryPrepared)                                                                                     \
    X(serverVersion)                                                                                         \
    X(setErrorVerbosity)                                                                                     \
    X(setNoticeReceiver)                                                                                     \
    X(setSingleRowMode)                                                                                      \
    X(setnonblocking)                                                                                        \
    X(socket)                                                                                                \
    X(sslInUse)                                                                                              \
    X(status)                                                                                                \
    X(transactionStatus)

/* The functions by their names, without "PQ". */
typedef struct sl__libpq {
#define SL__LIBPQ_POINTER(name) __typeof__(PQ##name) *name;
    SL__LIBPQ_FUNCTIONS(SL__LIBPQ_POINTER)
#undef SL__LIBPQ_POINTER
} sl__libpq;

/* Finds them. 0, or SL_ENOENT with *ret_error: what is missing and what to install. */
int sl__libpq_load(sl__libpq *libpq, sl_error **ret_error);
