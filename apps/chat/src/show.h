/* show.h: rooms and messages as the templates and the script want them. */
#pragma once

#include "models.h"

/* {id, author, colour, initial, nonce, sent, pieces}; `sent` in seconds since 1970. */
json_t *show_message(const struct message *message);
/* A list of them, the oldest first, of one that has the newest first. Each also says whether a new day begins
 * with it (`new_day`), and whether it stands under the name of the message before it (`follows`). */
json_t *show_messages(struct message_list newest_first);
/* [{name, colour, active, author, body}]; the author is null where nobody has spoken. */
json_t *show_rooms(struct listed_list rooms);
