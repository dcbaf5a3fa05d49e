/* control.h: what the supervisor and an instance agree on.
 *
 * The supervisor starts `silver instance DIRECTORY NUMBER LOGS OPTIONS APP_NAME [WHY]` with these
 * descriptors. Over the control socket they send each other lines; before them comes the token of logs.h,
 * LOG_TOKEN_SIZE bytes. When the supervisor dies, the instance finds the socket at its end, stops accepting
 * at once, lets its requests finish and goes. */
#pragma once

#define CONTROL_FD 3 /* a socket */
#define LISTEN_FD 4  /* the listening socket, shared with all instances */
#define METRICS_FD 5 /* the metrics' listening socket, where there is one */

/* Words of OPTIONS, with commas between. */
#define OPTION_PRODUCTION "production"
#define OPTION_LOG_FILES "files" /* logs go to files: an access log is due */
#define OPTION_METRICS "metrics"
#define OPTION_SHOWS "shows" /* why the application does not start is served in its place (development) */
#define OPTION_BORROWED "borrowed" /* the listening socket is somebody else's (socket activation) */

/* From the instance. */
#define SAYS_READY "ready"
#define SAYS_BROKEN "broken" /* before it: the page of an error is what is served */
#define SAYS_REPORT "report" /* and one JSON object: the answer to that question */
#define SAYS_ALIVE "alive"   /* the answer to a heartbeat */
/* To it. */
#define ASKS_DRAIN "drain"
#define ASKS_REOPEN "reopen"
#define ASKS_DUMP "dump"
#define ASKS_BEAT "beat"
#define ASKS_REPORT "report"

#define CONTROL_LINE_MAX (4u << 20) /* that a supervisor reads of what an instance says */
