-- Times were milliseconds. The version of the file tells the chat from before not to touch it any more.

UPDATE room SET made = made * 1000;
UPDATE message SET sent = sent * 1000;
PRAGMA user_version = 2;
