// A readiness loop by hand: one thread and epoll, with nothing in between.
//
// The idea: edge-triggered epoll reports each change once. The program remembers that a
// socket is ready until a call on it would block, gives every ready client one turn
// before any has its second, and frees a client only when no event can refer to it.
//
// How a message flows. note() records in its client what an event reports, and puts the
// client into the list of active ones. main() walks the list twice per round. In the first
// pass each readable client has one turn: read_once() reads, and broadcast() appends the
// complete frames to every client's backlog, the sender's included. There is one thread,
// so the order of these appends is the order of the messages. In the second pass,
// write_clients() sends the backlogs, many messages with one system call, and frees the
// clients that have left.
//
//     events -- note --> active clients -- broadcast --> backlogs -- write_backlog
//
// A backlog is bounded: a client that reads too slowly misses the frames that do not fit.
//
// Shortcut: each client has its own copy of every message, in its backlog.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG_BYTES_MAX = 64 * 1024, // queued for one client
    READ_BYTES_MAX = 16 * 1024,    // per turn of one client
    EVENTS_MAX = 256,              // per round; further ones wait in the kernel
    FRAME_BYTES_MAX = 1 + 255,     // the length byte and the body
    LISTEN_BACKLOG = 1024,         // connections queued in the kernel
    ACCEPT_PAUSE_MS = 100,         // when descriptors have run out
};

struct client {
    int fd;
    bool readable, writable; // since the last event, until a call would block
    bool hung_up;            // no more events: it must be read to the end of its stream
    bool leaving;            // it sends no more, and only its backlog is still sent
    bool active;             // in the list of that name
    size_t start, end;       // of what the backlog holds
    size_t partial;          // bytes of an incomplete frame in `received`
    LIST_ENTRY(client) everyone_entry;
    TAILQ_ENTRY(client) active_entry;
    unsigned char received[FRAME_BYTES_MAX];
    unsigned char backlog[BACKLOG_BYTES_MAX]; // complete frames; the first may be partly sent
};

static LIST_HEAD(, client) everyone = LIST_HEAD_INITIALIZER(everyone);
static TAILQ_HEAD(, client) active = TAILQ_HEAD_INITIALIZER(active);

static int listen_on(const char *address);
static void note(struct client *c, uint32_t events);
static bool accept_clients(int listener, int epoll);
static void read_once(struct client *c);
static void write_clients(void);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    int listener = listen_on(argv[1]), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN | EPOLLET}}; // data: no client
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]))
        fail("cannot start", strerror(errno));
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    for (bool acceptable = true;;) { // until accept would block
        int wait_ms = !TAILQ_EMPTY(&active) ? 0 : acceptable ? ACCEPT_PAUSE_MS : -1;
        int count = epoll_wait(epoll, events, EVENTS_MAX, wait_ms);
        if (count < 0 && errno != EINTR)
            fail("cannot wait for events", strerror(errno));
        // All events are noted before any client is freed, and closing a descriptor takes
        // it out of the epoll set: no event can refer to a client that is gone.
        for (int i = 0; i < count; i++) {
            acceptable |= !events[i].data.ptr;
            if (events[i].data.ptr)
                note(events[i].data.ptr, events[i].events);
        }
        acceptable = acceptable && !accept_clients(listener, epoll);
        struct client *c;
        TAILQ_FOREACH(c, &active, active_entry)
            if (c->readable)
                read_once(c);
        write_clients();
    }
}

static void activate(struct client *c) {
    if (!c->active)
        TAILQ_INSERT_TAIL(&active, c, active_entry);
    c->active = true;
}

static void note(struct client *c, uint32_t events) {
    c->readable |= !c->leaving && events & ~(uint32_t)EPOLLOUT;
    c->writable |= events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    c->hung_up |= events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    activate(c);
}

// It sends no more, and is freed once its backlog has been sent. If the connection is
// broken, nothing can be sent.
static void leave(struct client *c, bool broken) {
    c->leaving = true;
    c->readable = false;
    if (broken)
        c->start = c->end = 0;
    activate(c);
}

static void write_backlog(struct client *c) {
    while (c->writable && c->start < c->end) {
        ssize_t sent = send(c->fd, c->backlog + c->start, c->end - c->start, MSG_NOSIGNAL);
        if (sent >= 0)
            c->start += (size_t)sent;
        else if (errno == EAGAIN)
            c->writable = false;
        else
            leave(c, true);
    }
    if (c->start > 0) // what is left, usually nothing, starts at the front again
        memmove(c->backlog, c->backlog + c->start, c->end -= c->start);
    c->start = 0;
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
    LIST_FOREACH(c, &everyone, everyone_entry) {
        if (c->end + length > BACKLOG_BYTES_MAX)
            write_backlog(c);
        size_t room = BACKLOG_BYTES_MAX - c->end;
        size_t fitting = length <= room ? length : whole_frames(frames, room);
        if (c->leaving)
            continue;
        memcpy(c->backlog + c->end, frames, fitting);
        c->end += fitting;
        activate(c);
    }
}

static void read_once(struct client *c) {
    static unsigned char buffer[FRAME_BYTES_MAX + READ_BYTES_MAX];
    ssize_t received = recv(c->fd, buffer + c->partial, READ_BYTES_MAX, 0);
    if (received < 0 && errno == EAGAIN) {
        c->readable = false;
    } else if (received <= 0) {
        leave(c, received < 0);
    } else {
        memcpy(buffer, c->received, c->partial);
        size_t length = c->partial + (size_t)received, whole = whole_frames(buffer, length);
        c->partial = length - whole;
        memcpy(c->received, buffer + whole, c->partial);
        // The socket is empty now, unless the end of the stream is still to be read.
        c->readable = received == READ_BYTES_MAX || c->hung_up;
        if (whole > 0)
            broadcast(buffer, whole);
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
    }
}

// What remains active is still readable, and has its next turn in the next round.
static void write_clients(void) {
    for (struct client *c = TAILQ_FIRST(&active), *next; c; c = next) {
        write_backlog(c);
        next = TAILQ_NEXT(c, active_entry);
        if (c->readable)
            continue;
        TAILQ_REMOVE(&active, c, active_entry);
        c->active = false;
        if (c->leaving && c->end == 0) {
            LIST_REMOVE(c, everyone_entry);
            close(c->fd);
            free(c);
        }
    }
}

// Returns false if descriptors or memory have run out: some will be freed.
static bool accept_clients(int listener, int epoll) {
    static unsigned failures; // since the last success
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN)
            return true;
        struct client *c = fd < 0 ? NULL : calloc(1, sizeof *c);
        struct epoll_event all = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
        if (!c || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &all)) {
            if (failures++ == 0)
                fprintf(stderr, "server: cannot accept a client: %s\n", strerror(errno));
            free(c);
            if (fd >= 0)
                close(fd);
            return false;
        }
        failures = 0;
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        LIST_INSERT_HEAD(&everyone, c, everyone_entry);
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
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)); // fails for IPv4
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, LISTEN_BACKLOG))
        fail(address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}
