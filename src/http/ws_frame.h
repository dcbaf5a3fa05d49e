/* ws_frame.h: WebSocket on the wire, RFC 6455 and RFC 7692, without sockets.
 *
 * The decoder takes bytes as they come, cut anywhere, and gives whole messages and control frames. Payload is
 * unmasked while it is copied (or inflated) into the message, so the input need not hold a whole frame.
 *
 *     while ((got = sl__ws_decode(&decoder, &input)) > 0)
 *         switch (got) …
 *
 * SL__WS_TEXT, SL__WS_BINARY: decoder.message. SL__WS_PING, SL__WS_PONG: decoder.control. SL__WS_CLOSE:
 * decoder.close_code. 0: the input is used up. Negative: close with decoder.close_code and decoder.reason.
 *
 * Compression without context takeover (what we ask of clients) holds no memory between messages: the streams
 * come from a pool that the server owns, one a loop. */
#pragma once

#include <silver/base.h>

typedef enum sl__ws_opcode {
    SL__WS_CONTINUATION = 0,
    SL__WS_TEXT = 1,
    SL__WS_BINARY = 2,
    SL__WS_CLOSE = 8,
    SL__WS_PING = 9,
    SL__WS_PONG = 10,
} sl__ws_opcode;

/* ---- Handshake ---- */

/* Whether it is base64 of 16 bytes, as Sec-WebSocket-Key must be. */
bool sl__ws_key_valid(const char *key);
/* Sec-WebSocket-Accept for this key: 28 characters and a NUL. */
void sl__ws_accept_key(const char *key, char out[static 29]);

/* ---- permessage-deflate ---- */

/* Keeps one idle compressor and one idle decompressor of the largest window for the next message that needs
 * one. Zero-initialised is empty. One thread at a time; it must outlive the streams that use it. */
typedef struct sl__ws_pool {
    struct z_stream_s *deflater, *inflater;
} sl__ws_pool;
void sl__ws_pool_done(sl__ws_pool *pool);

typedef struct sl__ws_deflate {
    bool server_no_context_takeover, client_no_context_takeover;
    uint8_t server_bits, client_bits; /* of the windows: 9 … 15 for what we compress, 8 … 15 for the client */

    /* Its own. */
    sl__ws_pool *pool; /* may be NULL */
    bool client;
    struct z_stream_s *deflater, *inflater;
} sl__ws_deflate;

/* Chooses among the offers of a Sec-WebSocket-Extensions field (several lines: joined with commas). True if
 * one is acceptable: then *ret_deflate is ready for use, and the response's field value is appended to
 * `response`. `keep_context`: windows live on between messages where the client wants that (better ratio, up
 * to 300 KiB a connection); else neither side keeps one. */
bool sl__ws_deflate_negotiate(const char *offers, bool keep_context, sl__ws_pool *pool,
                              sl__ws_deflate *ret_deflate, sl_buffer *response);
void sl__ws_deflate_done(sl__ws_deflate *deflate);
/* Appends what a piece of a message inflates to, while `out` has at most `max` bytes. `last`: the message
 * ends with this piece. 0, SL_E2BIG, or SL_EPARSE. */
int sl__ws_inflate(sl__ws_deflate *deflate, const void *data, size_t size, bool last, sl_buffer *out,
                   size_t max);
/* Appends a whole message compressed. False, with nothing appended, if that would not make it smaller. */
bool sl__ws_compress(sl__ws_deflate *deflate, const void *data, size_t size, sl_buffer *out);

/* ---- Decoder ---- */

typedef struct sl__ws_decoder {
    sl_buffer message; /* with SL__WS_TEXT and SL__WS_BINARY; NUL-terminated. Overwritten by the next message:
                          to keep it, copy the struct and zero this one */
    uint8_t control[128]; /* with SL__WS_PING, SL__WS_PONG: the payload; with SL__WS_CLOSE: the reason;
                             NUL-terminated */
    uint8_t control_size;
    uint16_t
        close_code; /* with SL__WS_CLOSE: the peer's (1005 if it gave none); after a refusal: ours to send */
    const char *reason; /* why it was refused; static */

    /* The decoder's own. */
    bool client;
    size_t max_message;
    sl__ws_deflate *deflate;
    uint8_t state, head[14], head_size, head_have, mask[4], utf8;
    sl__ws_opcode opcode;         /* of the frame */
    sl__ws_opcode message_opcode; /* of the message that is open; 0 if none is */
    bool final, compressed;
    uint64_t left, offset;
} sl__ws_decoder;

/* `client`: false for frames of a client (must be masked), true for those of a server (must not be).
 * `deflate` as negotiated, or NULL; it must live as long. */
void sl__ws_decoder_init(sl__ws_decoder *decoder, bool client, size_t max_message, sl__ws_deflate *deflate);
/* An opcode (a whole message, or a control frame), 0 for more, or SL_EPROTO. After SL__WS_CLOSE nothing more
 * is read. */
int sl__ws_decode(sl__ws_decoder *decoder, sl_view *input);
void sl__ws_decoder_done(sl__ws_decoder *decoder);
/* Whether the decoder is within a frame or a fragmented message. */
bool sl__ws_decoder_busy(const sl__ws_decoder *decoder);

/* Whether a peer may send this close code. */
bool sl__ws_close_code_valid(unsigned code);

/* XORs data with the mask, whose first byte to use is mask[offset % 4]. In place is fine. */
void sl__ws_mask(void *out, const void *data, size_t size, const uint8_t mask[static 4], uint64_t offset);

/* ---- Encoder ---- */

/* A frame's head; `mask` is NULL for a server's. Returns its size. */
size_t sl__ws_frame_head(uint8_t out[static 14], sl__ws_opcode opcode, bool final, bool compressed,
                         uint64_t size, const uint8_t *mask);
/* Appends one whole frame. Control frames: at most 125 bytes (asserted). */
void sl__ws_put_frame(sl_buffer *out, sl__ws_opcode opcode, const void *data, size_t size,
                      const uint8_t *mask);
/* Appends a text or binary message, compressed if `deflate` is not NULL and it is worth it. */
void sl__ws_put_message(sl_buffer *out, sl__ws_opcode kind, const void *data, size_t size,
                        sl__ws_deflate *deflate, const uint8_t *mask);
/* Appends a close frame; code 0 (or 1005) sends none. The reason is cut to 123 bytes, at a character. */
void sl__ws_put_close(sl_buffer *out, unsigned code, const char *reason, const uint8_t *mask);

/* ---- UTF-8 in pieces ---- */

/* Checks the next piece; *state starts at 0 (SL__UTF8_COMPLETE) and is 0 again wherever a character is
 * complete. False as soon as the bytes cannot be UTF-8 any more. */
#define SL__UTF8_COMPLETE 0
bool sl__utf8_check(uint8_t *state, const void *data, size_t size);
