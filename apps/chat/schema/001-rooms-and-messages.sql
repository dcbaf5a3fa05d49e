-- Rooms, and what was said in them. IF NOT EXISTS: a chat from before there were patches has them already.

CREATE TABLE IF NOT EXISTS room (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    made INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    room TEXT NOT NULL,
    author TEXT NOT NULL,
    nonce TEXT NOT NULL,
    body TEXT NOT NULL,
    sent INTEGER NOT NULL,
    UNIQUE (room, author, nonce)
) STRICT;

CREATE INDEX IF NOT EXISTS message_of_room ON message (room, id);

INSERT OR IGNORE INTO room VALUES ('lobby', 0);
