/* value.h: values in packets: arguments on their way to a method, results on their way back. */
#pragma once

#include "subsystem/hello.h"
#include "subsystem/wire.h"

/* A value out of a packet: its memory is the arena's; its files, its references to JSON and the segment in
 * which its bytes lie are given back by sl__value_done. */
typedef struct sl__value {
    const sl_record *record;
    void *value;
    sl__segment *segment; /* held, or NULL */
} sl__value;

/* The codec that an index in a packet means; NULL: one that C does not speak. `own`: the service's, or NULL.
 */
const sl_codec *sl__codec_of(unsigned index, const sl_codec *own);

/* Encodes the value and puts it: into the wire's own memory where it is large. `scratch` is a buffer to be
 * used again and again. 0; or a code with *ret_error, and nothing was put. */
int sl__value_put(sl__wire *wire, const sl__packet *head, const sl_codec *codec, const sl_record *record,
                  const void *value, sl_buffer *scratch, sl_error **ret_error);
/* Decodes what a packet holds; its files become the value's, or are closed. */
int sl__value_get(const sl__packet *packet, const sl_codec *codec, const sl_record *record, sl_arena *arena,
                  sl__value *ret_value, sl_error **ret_error);
void sl__value_done(sl__value *value);
/* Fires with a value in an arena of the loop (sl__arena_get): both live as long as whoever awaits it. */
void sl__value_fire(sl_deferred *deferred, const sl__value *value, sl_arena *arena);
/* Drops a reference to JSON: an sl_free_fn. */
void sl__json_unref(void *json);
/* Files that nobody wants. */
void sl__packet_close(const sl__packet *packet);
