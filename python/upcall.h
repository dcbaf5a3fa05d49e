/* upcall.h: what Python code here asks of the parent: calls of other services, and events. The methods of the
 * module `_silver` for that; the package `silver` makes functions for applications of them. */
#pragma once

#include "gil.h"
#include "port.h"

/* Adds them to the module; 0, or -1 with an exception. */
int upcall_open(PyObject *module, struct port *port);
/* (GIL) This thread runs the worker's loop of events: whoever asks here is answered by upcall_after_batch. */
void upcall_in_loop(bool is);
/* (GIL) After each batch of packets that the loop has taken (port_pump): tells those who asked or hear. 0; -1
 * with an exception. */
int upcall_after_batch(void);

/* inbox.c */
int inbox_open(PyObject *module, struct port *port);
/* (GIL) Puts an event into the inboxes that hear it, as if it had come. 0, or -1 with an exception. */
int inbox_tell(const char *channel, const char *event, const char *json);
int inbox_after_batch(void);
struct waiter *upcall_waiter(void); /* of this thread */
struct work *upcall_work(void);     /* the call that it runs, or NULL */
bool upcall_is_loop(void);
/* In a child that the application forked: true, with an exception. */
bool upcall_refuse_forked(void);
