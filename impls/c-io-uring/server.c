// A completion loop: one thread that asks for work and is told when it is done.
//
// The idea: io_uring does not say when a call would succeed; it makes the call. The
// program puts requests into one ring, finds results in another, and enters the kernel
// once per round for both. Three of its features carry this program:
//
//   - one *multishot accept*, and one *multishot receive* per client: a single request, and
//     a result for each connection or for each arrival of bytes;
//   - *provided buffers*: a pool from which the kernel takes a buffer when bytes arrive,
//     instead of one buffer for each client that might send some;
//   - a buffer with a request in flight belongs to the kernel. So a client has two: one
//     `sending` and one `waiting`, and it is freed only when no request refers to it.
//
// ring.h has the requests and the pool, and this file what they are for.
//
// How a message flows. main() passes each result to complete(). on_receive() joins the
// bytes with an incomplete frame that came before, and broadcast() appends the complete
// frames to every client's `waiting` buffer, the sender's included. There is one thread,
// so the order of these appends is the order of the messages. At the end of the round
// settle() exchanges the buffers of each client that has messages waiting and no send in
// flight, and requests a send.
//
// A buffer is bounded: a client that reads too slowly misses the frames that do not fit.
//
// Shortcuts: a round visits every client. setsockopt is an ordinary system call, as
// liburing 2.3 has no request for it.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring.h"

enum {
    QUEUE_BYTES_MAX = 64 * 1024, // waiting for one client, beside as many being sent
    FRAME_BYTES_MAX = 1 + 255,   // the length byte and the body
    LISTEN_BACKLOG = 1024,       // connections queued in the kernel
    ACCEPT_PAUSE_MS = 100,       // when descriptors have run out
};

struct buffer {
    size_t length;
    unsigned char bytes[QUEUE_BYTES_MAX]; // complete frames
};

struct client {
    int fd;
    bool receiving, in_flight;        // requests that the kernel holds: receive, and send
    bool leaving;                     // it sends no more, and only what is queued is sent
    size_t partial;                   // bytes of an incomplete frame in `received`
    size_t sent;                      // of sending->length
    struct buffer *sending, *waiting; // two buffers; while in flight the first is the kernel's
    TAILQ_ENTRY(client) entry;
    unsigned char received[FRAME_BYTES_MAX];
    struct buffer buffers[2];
};

static int listener;
static TAILQ_HEAD(, client) clients = TAILQ_HEAD_INITIALIZER(clients);

static int listen_on(const char *address);
static void complete(const struct io_uring_cqe *result);
static void settle(void);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

// The requests of a process that has ended are withdrawn a little later. Until then the
// listener would keep its address.
static void stop(int signal_number) {
    shutdown(listener, SHUT_RDWR);
    raise(signal_number); // again, and no longer handled
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    listener = listen_on(argv[1]);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop, .sa_flags = SA_RESETHAND}, NULL);
    int error = set_up_ring();
    if (error)
        fail("cannot set up io_uring, which needs Linux 6.1", strerror(-error));
    request_accept(listener);
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    for (;;) {
        error = io_uring_submit_and_wait(&ring, 1);
        if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY)
            fail("cannot wait for results", strerror(-error));
        struct io_uring_cqe *result;
        while (!io_uring_peek_cqe(&ring, &result)) {
            complete(result);
            io_uring_cqe_seen(&ring, result);
        }
        settle();
    }
}

// The length of the complete frames at the start of `bytes`.
static size_t whole_frames(const unsigned char *bytes, size_t length) {
    size_t end = 0;
    while (end < length && end + bytes[end] < length)
        end += 1u + bytes[end];
    return end;
}

// The sequencing point.
static void broadcast(const unsigned char *frames, size_t length) {
    struct client *c;
    TAILQ_FOREACH(c, &clients, entry) {
        size_t room = QUEUE_BYTES_MAX - c->waiting->length;
        size_t fitting = c->leaving ? 0 : length <= room ? length : whole_frames(frames, room);
        memcpy(c->waiting->bytes + c->waiting->length, frames, fitting);
        c->waiting->length += fitting;
    }
}

// The connection is broken: discards what is waiting, and makes the receive complete.
static void forsake(struct client *c) {
    c->leaving = true;
    c->waiting->length = 0;
    c->sent = c->sending->length;
    shutdown(c->fd, SHUT_RDWR);
}

static void on_bytes(struct client *c, const unsigned char *bytes, size_t received) {
    static unsigned char joined[FRAME_BYTES_MAX + POOL_BUFFER_BYTES];
    memcpy(joined, c->received, c->partial);
    memcpy(joined + c->partial, bytes, received);
    size_t length = c->partial + received, whole = whole_frames(joined, length);
    c->partial = length - whole;
    memcpy(c->received, joined + whole, c->partial);
    if (whole > 0)
        broadcast(joined, whole);
    else // acknowledge at once: Nagle's algorithm may hold the rest back until then
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

static void on_receive(struct client *c, const struct io_uring_cqe *result) {
    c->receiving = result->flags & IORING_CQE_F_MORE;
    if (result->res > 0)
        on_bytes(c, pool_bytes[buffer_of(result)], (size_t)result->res);
    if (result->flags & IORING_CQE_F_BUFFER)
        return_to_pool(buffer_of(result));
    if (result->res == -ENOBUFS) { // the pool is empty; it asks again, behind all others
        TAILQ_REMOVE(&clients, c, entry);
        TAILQ_INSERT_TAIL(&clients, c, entry);
    } else if (result->res < 0) {
        forsake(c);
    }
    c->leaving |= result->res == 0;
}

static void on_send(struct client *c, int result) {
    c->in_flight = false;
    if (result < 0)
        forsake(c);
    else
        c->sent += (size_t)result;
}

static void on_accept(const struct io_uring_cqe *result) {
    static struct __kernel_timespec pause = {.tv_nsec = ACCEPT_PAUSE_MS * 1000000L};
    static unsigned failures; // since the last success
    if (result->res < 0) { // descriptors have run out: some will be freed
        if (failures++ == 0)
            fprintf(stderr, "server: cannot accept a client: %s\n", strerror(-result->res));
        request_pause(&pause);
        return;
    }
    failures = 0;
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        fail("cannot go on", strerror(errno));
    c->fd = result->res;
    c->sending = &c->buffers[0];
    c->waiting = &c->buffers[1];
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    TAILQ_INSERT_TAIL(&clients, c, entry);
    if (!(result->flags & IORING_CQE_F_MORE))
        request_accept(listener);
}

static void complete(const struct io_uring_cqe *result) {
    enum request what = request_of(result);
    if (what == ACCEPT)
        on_accept(result);
    else if (what == PAUSE)
        request_accept(listener);
    else if (what == RECEIVE)
        on_receive(whose(result), result);
    else
        on_send(whose(result), result->res);
}

// At the end of a round: requests what each client needs next, or frees it.
static void settle(void) {
    for (struct client *c = TAILQ_FIRST(&clients), *next; c; c = next) {
        next = TAILQ_NEXT(c, entry);
        if (!c->receiving && !c->leaving) {
            request_receive(c, c->fd);
            c->receiving = true;
        }
        if (c->sent >= c->sending->length && c->waiting->length > 0) {
            struct buffer *full = c->waiting;
            c->waiting = c->sending;
            c->sending = full;
            c->waiting->length = c->sent = 0;
        }
        if (!c->in_flight && c->sent < c->sending->length) {
            request_send(c, c->fd, c->sending->bytes + c->sent, c->sending->length - c->sent);
            c->in_flight = true;
        }
        if (c->leaving && !c->receiving && !c->in_flight) {
            TAILQ_REMOVE(&clients, c, entry);
            close(c->fd);
            free(c);
        }
    }
}

// HOST is an IPv4 address, or an IPv6 address in brackets.
static int listen_on(const char *address) {
    const char *colon = strrchr(address, ':');
    bool ipv6 = address[0] == '[' && colon && colon[-1] == ']';
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    if (digits == 0 || digits > 5 || colon[1 + digits] || strtol(colon + 1, NULL, 10) > 65535)
        fail(address, "not HOST:PORT");
    char host[128]; // more than the longest address
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * ipv6, address + ipv6);
    struct addrinfo hints = {.ai_family = ipv6 ? AF_INET6 : AF_INET, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found;
    if (getaddrinfo(host, colon + 1, &hints, &found))
        fail(address, "not an IP address and a port");
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)); // fails for IPv4
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, LISTEN_BACKLOG))
        fail(address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}
