/* pages.h: what the chat provides to its plug-ins: pages that look like its own. */
#pragma once

#include <silver/silver.h>

struct chat_pages {
    /* Renders a template with what each page is given (who asks, …) and `data`, whose reference is taken
     * over. */
    sl_response *(*show)(sl_request *req, int status, const char *template, json_t *data);
    int (*colour_of)(const char *name);
};
SL_INTERFACE(chat_pages);
