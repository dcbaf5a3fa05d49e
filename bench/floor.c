/* floor.c: the least that an HTTP server can cost on this machine.
 *
 * One thread, one epoll, keep-alive, and no parsing: each "\r\n\r\n" that comes is a request, and all are
 * answered with the same bytes. What another server needs on top of this is what it does for its users, and
 * what it wastes. It is no server to be used: a slow reader is dropped.
 *
 *     floor ADDRESS PORT [BODY_SIZE]
 */
#include "floor.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 512

static void drop(unsigned char *ends, int fd)
{
    ends[fd] = 0;
    close(fd);
}

static void answer(const struct reply *reply, unsigned char *ends, int fd)
{
    static char input[65536];
    ssize_t size = read(fd, input, sizeof input);
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN)
            drop(ends, fd);
        return;
    }
    size_t requests = count_requests(&ends[fd], input, (size_t)size);
    while (requests > 0) {
        size_t batch = requests < reply->copies ? requests : reply->copies;
        size_t bytes = batch * reply->size;
        if (write(fd, reply->data, bytes) != (ssize_t)bytes) {
            drop(ends, fd);
            return;
        }
        requests -= batch;
    }
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

int main(int argc, char **argv)
{
    static unsigned char ends[MAX_CONNECTIONS];
    struct reply reply = make_reply(argc, argv);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = address_of(argv);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
        give_up("floor");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        give_up("floor");
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                answer(&reply, ends, events[i].data.fd);
        }
    }
}
