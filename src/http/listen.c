/* listen.c: listening sockets. */
#include <silver/http.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage room;
} address;

static int tell(sl_error **ret_error, int code, const char *text, const char *why, const char *hint)
{
    if (ret_error) {
        *ret_error = sl_error_new(code, "cannot listen on %s: %s", text, why);
        if (hint)
            sl_error_hint(*ret_error, "%s", hint);
    }
    return code;
}

static int malformed(sl_error **ret_error, const char *text, const char *why)
{
    return tell(ret_error, SL_EINVAL, text, why,
                "addresses are 127.0.0.1:8080, [::1]:8080, :8080 (all addresses) or unix:/path");
}

static int parse_unix(const char *text, address *out, socklen_t *ret_size, sl_error **ret_error)
{
    const char *path = text + strlen("unix:");
    size_t size = strlen(path);
    if (size == 0)
        return malformed(ret_error, text, "the path is empty");
    if (size >= sizeof(out->local.sun_path))
        return malformed(ret_error, text, "the path is longer than the 107 bytes that the system allows");
    out->local.sun_family = AF_UNIX;
    memcpy(out->local.sun_path, path, size + 1);
    *ret_size = sizeof(out->local);
    return 0;
}

/* Parses HOST:PORT; an empty host is every address, IPv6 and IPv4. */
static int parse_tcp(const char *text, address *out, socklen_t *ret_size, sl_error **ret_error)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return malformed(ret_error, text, "there is no port");
    uint64_t port;
    if (sl_view_number(sl_view_of(colon + 1), 65535, &port) < 0)
        return malformed(ret_error, text, "the port is not a number from 0 to 65535");
    sl_view host = {text, (size_t)(colon - text)};
    char name[64];
    bool v6 = host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
    if (v6)
        host = (sl_view){host.data + 1, host.size - 2};
    if (host.size >= sizeof(name))
        return malformed(ret_error, text, "the host is not an IP address");
    memcpy(name, host.data, host.size);
    name[host.size] = '\0';
    if (host.size == 0 && !v6) {
        out->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        *ret_size = sizeof(out->v6);
    } else if (v6 && inet_pton(AF_INET6, name, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        *ret_size = sizeof(out->v6);
    } else if (!v6 && inet_pton(AF_INET, strcmp(name, "localhost") == 0 ? "127.0.0.1" : name,
                                &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        *ret_size = sizeof(out->v4);
    } else {
        return malformed(ret_error, text,
                         strchr(name, ':') && !v6
                             ? "an IPv6 address stands in brackets"
                             : "the host is not an IP address (names are not looked up)");
    }
    return 0;
}

static int failed(int fd, int code, const char *text, sl_error **ret_error)
{
    if (fd >= 0)
        close(fd);
    const char *why = strerror(-code), *hint = NULL;
    if (code == -EADDRINUSE) {
        why = "the address is taken";
        hint = "another program listens there (ss -ltnp shows which), or choose another port";
    } else if (code == -EACCES && strncmp(text, "unix:", 5) != 0) {
        why = "no permission";
        hint = "ports below 1024 are for root: choose a higher one, or give the program CAP_NET_BIND_SERVICE";
    } else if (code == -EADDRNOTAVAIL) {
        why = "this machine has no such address";
        hint = "ip address lists those that it has";
    } else if (code == -EACCES) {
        hint = "the directory must be writable for this user";
    } else if (code == -ENOENT) {
        hint = "make the directory first";
    }
    return tell(ret_error, code, text, why, hint);
}

/* A socket that nobody listens on any more is left over from a process that died. */
static bool left_over(const struct sockaddr_un *local)
{
    struct stat status;
    if (stat(local->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    int r = connect(fd, (const struct sockaddr *)local, sizeof(*local));
    bool refused = r < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_socket(int fd, const address *where, socklen_t size)
{
    if (bind(fd, &where->any, size) == 0)
        return 0;
    if (errno == EADDRINUSE && where->any.sa_family == AF_UNIX && left_over(&where->local)) {
        unlink(where->local.sun_path);
        if (bind(fd, &where->any, size) == 0)
            return 0;
        return -errno;
    }
    return -errno;
}

static int open_socket(const address *where)
{
    int fd = socket(where->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int on = 1, off = 0;
    if (where->any.sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (where->any.sa_family == AF_INET6) {
        bool all = memcmp(&where->v6.sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, all ? &off : &on, sizeof(on));
    }
    return fd;
}

int sl_listen(const char *text, int backlog, int *ret_fd, sl_error **ret_error)
{
    address where;
    memset(&where, 0, sizeof(where));
    socklen_t size;
    int r = strncmp(text, "unix:", 5) == 0 ? parse_unix(text, &where, &size, ret_error)
                                           : parse_tcp(text, &where, &size, ret_error);
    if (r < 0)
        return r;
    int fd = open_socket(&where);
    if (fd == -EAFNOSUPPORT && text[0] == ':') {
        /* A machine without IPv6: all of its addresses are IPv4's. */
        uint16_t port = where.v6.sin6_port;
        where.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        size = sizeof(where.v4);
        fd = open_socket(&where);
    }
    if (fd < 0)
        return failed(-1, fd, text, ret_error);
    r = bind_socket(fd, &where, size);
    if (r == 0 && listen(fd, backlog > 0 ? backlog : SOMAXCONN) < 0)
        r = -errno;
    if (r < 0)
        return failed(fd, r, text, ret_error);
    *ret_fd = fd;
    return 0;
}

char *sl_listen_address(int fd)
{
    address where;
    socklen_t size = sizeof(where);
    char name[INET6_ADDRSTRLEN] = "";
    memset(&where, 0, sizeof(where));
    if (getsockname(fd, &where.any, &size) < 0)
        return sl_strdup_heap("");
    switch (where.any.sa_family) {
    case AF_UNIX:
        return sl_printf_heap("unix:%.*s", (int)sizeof(where.local.sun_path), where.local.sun_path);
    case AF_INET6:
        inet_ntop(AF_INET6, &where.v6.sin6_addr, name, sizeof(name));
        return sl_printf_heap("[%s]:%u", name, ntohs(where.v6.sin6_port));
    default:
        inet_ntop(AF_INET, &where.v4.sin_addr, name, sizeof(name));
        return sl_printf_heap("%s:%u", name, ntohs(where.v4.sin_port));
    }
}
