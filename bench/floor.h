/* floor.h: what the two floors share: the reply, and the counting of requests. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 20000
#define MAX_COPIES 64

/* The same reply several times in a row, so that a batch of pipelined requests is answered with one write. */
struct reply {
    char *data;
    size_t size; /* of one */
    size_t copies;
};

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in address_of(char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) {
        fprintf(stderr, "%s: %s is not an IPv4 address\n", argv[0], argv[1]);
        exit(2);
    }
    return address;
}

/* The fields are those that every real server sends. */
static struct reply make_reply(int argc, char **argv)
{
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s ADDRESS PORT [BODY_SIZE]\n", argv[0]);
        exit(2);
    }
    size_t body = argc == 4 ? strtoul(argv[3], NULL, 10) : 2;
    char head[256];
    size_t head_size =
        (size_t)snprintf(head, sizeof head,
                         "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 13:58:27 GMT\r\n"
                         "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n\r\n",
                         body);
    struct reply reply = {.size = head_size + body, .copies = body > 1000 ? 1 : MAX_COPIES};
    reply.data = malloc(reply.size * reply.copies);
    if (!reply.data)
        give_up(argv[0]);
    for (size_t i = 0; i < reply.copies; i++) {
        char *at = reply.data + i * reply.size;
        memcpy(at, head, head_size);
        memset(at + head_size, 'k', body);
        if (body)
            at[head_size] = 'o';
    }
    return reply;
}

/* How many requests end in these bytes. *end says how much of "\r\n\r\n" the bytes before left matched. */
static size_t count_requests(unsigned char *end, const char *data, size_t size)
{
    if (*end == 0 && size >= 4 && memcmp(data + size - 4, "\r\n\r\n", 4) == 0 &&
        memmem(data, size, "\r\n\r\n", 4) == data + size - 4)
        return 1;
    size_t count = 0;
    unsigned matched = *end;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == "\r\n\r\n"[matched])
            matched++;
        else
            matched = data[i] == '\r';
        if (matched == 4) {
            count++;
            matched = 0;
        }
    }
    *end = (unsigned char)matched;
    return count;
}
