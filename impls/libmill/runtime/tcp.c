// TCP sockets with a buffer in each direction.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

#define BUFFER_BYTES 4096 // in each direction

struct mill_tcpsock {
    int fd;
    size_t in_first, in_length; // received, not yet read
    size_t out_length;          // written, not yet flushed
    char in[BUFFER_BYTES], out[BUFFER_BYTES];
};

static socklen_t address_length(const ipaddr *address)
{
    int ipv6 = ((const struct sockaddr *)address)->sa_family == AF_INET6;
    return ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

ipaddr mill_iplocal(const char *name, int port, int mode)
{
    ipaddr address = {{0}};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    errno = port < 0 || port > 65535 ? EINVAL : 0;
    if (!errno && mode == IPADDR_IPV4 && inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
    } else if (!errno && mode == IPADDR_IPV6 && inet_pton(AF_INET6, name, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
    } else if (!errno) {
        errno = ENODEV;
    }
    return address;
}

static tcpsock wrap(int fd)
{
    tcpsock s = malloc(sizeof(*s));
    if (!s) {
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    s->fd = fd;
    s->in_first = s->in_length = s->out_length = 0;
    errno = 0;
    return s;
}

tcpsock mill_tcplisten(ipaddr address, int backlog)
{
    int family = ((struct sockaddr *)&address)->sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, address_length(&address)) != 0 ||
        listen(fd, backlog) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return NULL;
    }
    return wrap(fd);
}

tcpsock mill_tcpaccept(tcpsock listener, int64_t deadline)
{
    int fd;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) == -1) {
        if (errno != EAGAIN)
            return NULL;
        if (!mill_fdwait(listener->fd, FDW_IN, deadline)) {
            errno = ETIMEDOUT;
            return NULL;
        }
    }
    return wrap(fd);
}

// Returns the number of bytes sent; errno is the reason if not all were.
static size_t send_all(int fd, const char *bytes, size_t length, int64_t deadline)
{
    size_t sent = 0;
    while (sent < length) {
        ssize_t count = send(fd, bytes + sent, length - sent, 0);
        if (count >= 0) {
            sent += count;
        } else if (errno != EAGAIN) {
            errno = errno == EPIPE ? ECONNRESET : errno;
            return sent;
        } else if (!mill_fdwait(fd, FDW_OUT, deadline)) {
            errno = ETIMEDOUT;
            return sent;
        }
    }
    errno = 0;
    return sent;
}

void mill_tcpflush(tcpsock s, int64_t deadline)
{
    size_t sent = send_all(s->fd, s->out, s->out_length, deadline);
    s->out_length -= sent;
    memmove(s->out, s->out + sent, s->out_length);
}

size_t mill_tcpsend(tcpsock s, const void *bytes, size_t length, int64_t deadline)
{
    if (s->out_length + length > BUFFER_BYTES) {
        mill_tcpflush(s, deadline);
        if (errno)
            return 0;
        if (length > BUFFER_BYTES)
            return send_all(s->fd, bytes, length, deadline);
    }
    memcpy(s->out + s->out_length, bytes, length);
    s->out_length += length;
    errno = 0;
    return length;
}

size_t mill_tcprecv(tcpsock s, void *bytes, size_t length, int64_t deadline)
{
    size_t taken = 0;
    for (;;) {
        size_t part = length - taken < s->in_length ? length - taken : s->in_length;
        memcpy((char *)bytes + taken, s->in + s->in_first, part);
        s->in_first += part;
        s->in_length -= part;
        taken += part;
        if (taken == length) {
            errno = 0;
            return taken;
        }
        ssize_t count = recv(s->fd, s->in, BUFFER_BYTES, 0);
        if (count > 0) {
            s->in_first = 0;
            s->in_length = count;
        } else if (count == 0) {
            errno = ECONNRESET;
            return taken;
        } else if (errno != EAGAIN) {
            return taken;
        } else if (!mill_fdwait(s->fd, FDW_IN, deadline)) {
            errno = ETIMEDOUT;
            return taken;
        }
    }
}

void mill_tcpclose(tcpsock s)
{
    forget_fd(s->fd);
    close(s->fd);
    free(s);
}
