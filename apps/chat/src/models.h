/* models.h: the chat's rooms and messages, as they stand in the database (schema/). */
#pragma once

#include "text.h"

/* Names that differ only in the case of ASCII letters are one room's. */
#define ROOM(F)                                                                                              \
    F(name, text, SL_PRIMARY_KEY, SL_VALIDATED(check_room))                                                  \
    F(made, time, SL_REQUIRED, SL_DEFAULT("now"))
SL_MODEL(room, ROOM);

/* Numbers ascend in the order in which messages are stored, whichever instance stores them: nobody who saw
 * number n will later find a new message with a lower one. Everything that readers do leans on that. The
 * nonce is the sender's mark: the same one again is the same message again. */
#define MESSAGE(F)                                                                                           \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(room, text, SL_REQUIRED)                                                                               \
    F(author, text, SL_REQUIRED, SL_VALIDATED(check_name))                                                   \
    F(nonce, text, SL_REQUIRED)                                                                              \
    F(body, text, SL_REQUIRED, SL_VALIDATED(check_body))                                                     \
    F(sent, time, SL_REQUIRED, SL_DEFAULT("now"))
SL_MODEL(message, MESSAGE, SL_INDEXES(SL_UNIQUE_INDEX("room, author, nonce"), SL_INDEX("room, id")));

/* A room in the list of rooms, and what was last said there: NULL where nobody has spoken. */
#define LISTED(F) F(room, row(room)) F(last, row(message))
SL_RESULT(listed, LISTED);
