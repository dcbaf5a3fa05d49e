/* talker.h: what the child of the tests of long calls can do. */
#pragma once

enum {
    TALK_ECHO,
    TALK_SWALLOW,
    TALK_FLOOD,
    TALK_OVERRUN,
    TALK_FILES,
    TALK_DIE,
    TALK_IGNORE,
    TALK_ANSWER,
};

#define FLOOD_PACKETS 500 /* of 10,000 bytes each */
