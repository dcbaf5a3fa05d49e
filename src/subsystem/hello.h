/* hello.h: what both ends of a wire say to each other besides arguments and results: records, sent flat. */
#pragma once

#include <silver/record.h>
#include <silver/subsystem.h>

/* SL__HELLO: a child has loaded its module. `digest` is 0 where the module has no description (Python). */
#define SL__HELLO_METHOD(F) F(name, text, SL_REQUIRED) F(idempotent, boolean)
SL_RECORD(sl__hello_method, SL__HELLO_METHOD);
#define SL__HELLO_FIELDS(F)                                                                                  \
    F(protocol, integer)                                                                                     \
    F(service, text, SL_REQUIRED)                                                                            \
    F(version, integer)                                                                                      \
    F(digest, integer)                                                                                       \
    F(concurrency, integer)                                                                                  \
    F(codec, text) /* which the child speaks besides JSON */                                                 \
    F(methods, list(sl__hello_method))
SL_RECORD(sl__hello, SL__HELLO_FIELDS);

/* SL__FAILED, and instead of SL__READY: an error. */
#define SL__PLACE(F) F(file, text) F(line, integer) F(function, text)
SL_RECORD(sl__place, SL__PLACE);
#define SL__TROUBLE(F)                                                                                       \
    F(code, integer)                                                                                         \
    F(message, text)                                                                                         \
    F(detail, text)                                                                                          \
    F(hint, text)                                                                                            \
    F(told, text)              /* what a client may know of it */                                            \
    F(places, list(sl__place)) /* the origin, then the hops */
SL_RECORD(sl__trouble, SL__TROUBLE);

/* The payload of a call from a child (SL__CALL with an odd number): which method of which service, and its
 * arguments in the packet's codec. The method "" waits for room. Version and digest are those of the caller's
 * description, if it has one. Whoever is answered SL__FAILED with the codec JSON has the arguments sent in a
 * way that the service does not read: they may be sent once more, as JSON. */
#define SL__UPCALL(F)                                                                                        \
    F(service, text, SL_REQUIRED)                                                                            \
    F(method, text, SL_REQUIRED)                                                                             \
    F(key, text)                                                                                             \
    F(timeout_ms, integer) F(priority, integer) F(digest, integer) F(version, integer) F(arguments, bytes)
SL_RECORD(sl__upcall, SL__UPCALL);

/* SL__TELL, either way (`word` is 1 for a sticky event); SL__HEAR and SL__UNHEAR carry the channel's name
 * alone. */
#define SL__CHANNEL_MAX 16384 /* of a channel's name */
#define SL__EVENT(F)                                                                                         \
    F(channel, text, SL_REQUIRED, .max = SL__CHANNEL_MAX) F(event, text, SL_REQUIRED) F(json, text)
SL_RECORD(sl__event, SL__EVENT);

/* SL__LOG. */
#define SL__LOGGED(F) F(logger, text) F(message, text)
SL_RECORD(sl__logged, SL__LOGGED);

/* The codecs by packet.codec. Pickle is between Python ends only: the parent passes it on as it is. */
enum {
    SL__CODEC_FLAT,
    SL__CODEC_JSON,
    SL__CODEC_PICKLE,
};

/* An error as a trouble and back; the copy's sites live as long as the loop. */
SL_API void sl__trouble_put(const sl_error *error, sl_buffer *out);
SL_API sl_error *sl__trouble_get(sl_view data); /* never NULL: an unreadable one is an error too */
