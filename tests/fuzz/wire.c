/* The parent's end of a wire whose other end is hostile: the input is what lies in the ring, and before it
 * come, each as a byte, what is sent over the socket, and how far the other end says that it is:
 *
 *     count of messages; for each: bits 0 and 1 its byte, 2 to 4 how many descriptors, 5 to 7 of which kind;
 *     two bytes: by how much the position is off; then the ring's contents
 *
 * Nothing that is taken out may be larger than a packet can be, all of it must be readable, and in the end no
 * descriptor is left open. */
#include "subsystem/wire_inside.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING = SL__RING_MIN, MESSAGES_MAX = 8 };

static unsigned open_files(void)
{
    unsigned count = 0;
    for (int number = 0; number < 128; number++)
        count += fcntl(number, F_GETFD) >= 0;
    return count;
}

static int file_of_kind(unsigned kind)
{
    if (kind == 0)
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    int memory = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0 || ftruncate(memory, kind == 1 ? 100 : 65536) < 0)
        abort();
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (kind > 2)
        seals &= ~(1 << (kind - 2));
    fcntl(memory, F_ADD_SEALS, seals);
    return memory;
}

static void send_message(int socket, uint8_t how)
{
    static const char bytes[4] = {'f', 'b', 'x', 'f'};
    struct iovec data = {(char *)&bytes[how & 3], (how & 3) == 2 ? 2 : 1};
    char space[CMSG_SPACE(sizeof(int) * 7)] = {0};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    unsigned count = how >> 2 & 7;
    int files[7];
    if (count) {
        for (unsigned i = 0; i < count; i++)
            files[i] = file_of_kind(i ? 0 : how >> 5);
        message.msg_control = space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(int) * count), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), files, sizeof(int) * count);
    }
    (void)!sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    for (unsigned i = 0; i < count; i++)
        close(files[i]);
}

static void take_all(sl__wire *wire)
{
    sl__segment *held[8];
    unsigned held_count = 0;
    sl__packet packet;
    while (sl__wire_next(wire, &packet) > 0) {
        if (packet.size > SL__WIRE_VALUE_MAX || packet.file_count > SL__PACKET_FILES || !packet.data)
            abort();
        for (size_t i = 0; i < packet.size; i += packet.segment ? 4096 : 1)
            (void)((const volatile unsigned char *)packet.data)[i];
        for (unsigned i = 0; i < packet.file_count; i++)
            if (close(packet.files[i]) < 0)
                abort();
        if (packet.segment && packet.call % 2 && held_count < sl_array_size(held)) {
            sl__segment_hold(packet.segment);
            held[held_count++] = packet.segment;
        }
        sl__wire_put(wire, &(sl__packet){.kind = SL__RESULT}, &(struct iovec){"answer", 6}, 1);
        sl__wire_flush(wire);
        if (held_count && packet.call % 4 == 3)
            sl__segment_release(held[--held_count]);
    }
    while (held_count)
        sl__segment_release(held[--held_count]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[2];
    unsigned open_before = open_files();
    sl__wire *wire;
    if (size < 3 || sl__wire_new(&(sl__wire_options){.ring = RING}, &wire, fds) < 0)
        return 0;
    sl__shared *shared =
        mmap(NULL, SL__WIRE_HEADER + 2 * RING, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    size_t at = 1;
    for (unsigned i = 0; i < data[0] % (MESSAGES_MAX + 1) && at + 2 < size; i++)
        send_message(fds[1], data[at++]);
    uint64_t off = 0;
    if (at + 2 <= size) {
        off = (uint64_t)(int64_t)(int16_t)(data[at] | data[at + 1] << 8);
        at += 2;
    }
    size_t content = size - at < RING ? size - at : RING;
    memcpy((char *)shared + SL__WIRE_HEADER + RING, data + at, content);
    atomic_store(&shared->directions[1].head, (content & ~(size_t)7) + off);
    sl__wire_awake(wire);
    take_all(wire);
    close(fds[0]);
    close(fds[1]);
    sl__wire_wait(wire, 0);
    take_all(wire);
    munmap(shared, SL__WIRE_HEADER + 2 * RING);
    sl__wire_free(wire);
    if (open_files() != open_before)
        abort();
    return 0;
}
