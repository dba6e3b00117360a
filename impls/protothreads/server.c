// Protothreads: each activity is a function that stops where it waits, and costs two bytes.
//
// The idea: a function returns where it would wait, and notes the line. The next call jumps
// there. So the code of a client is two loops that read from top to bottom, as a thread's
// do, but there is no stack, no allocation and no library: protothread.h is all of it. A
// scheduler is what calls the functions again, here main().
//
// How a message flows. hear() waits until its client has sent something, receives it, and
// broadcast() appends the complete frames to every client's backlog, the sender's included.
// It cannot wait, so nothing else runs meanwhile: it is the sequencing point. speak() waits
// until the backlog holds something, and awaits send_backlog(), itself a protothread.
//
//     accept_clients     hear -- broadcast --> backlogs --> speak: send_backlog
//
// A round waits for events, and then calls every protothread once; those whose condition does
// not hold return at once. Only a hear() that has yielded keeps the next round from waiting.
//
// A backlog is bounded: a client that reads too slowly misses the frames that do not fit.
//
// Shortcut: a round costs a few instructions for each idle client, as there is no list of
// those whose condition may have changed.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/param.h>
#include <sys/queue.h>
#include <unistd.h>

#include "protothread.h"

enum {
    BACKLOG_BYTES_MAX = 64 * 1024, // queued for one client
    FRAME_BYTES_MAX = 1 + 255,     // the length byte and the body
    EVENTS_MAX = 256,              // per round; further ones wait in the kernel
    LISTEN_BACKLOG = 1024,         // connections queued in the kernel
    ACCEPT_PAUSE_MS = 100,         // when descriptors have run out
};

struct client {
    place hearing, speaking, sending; // where its three protothreads have stopped
    int fd;
    bool readable, writable; // since the last event, until a call would block
    bool hung_up;            // no more events: it must be read to the end of its stream
    bool silent;             // it sends no more, and only its backlog is still sent
    bool broken;             // nothing can be sent to it
    size_t end;              // of what the backlog holds
    size_t partial;          // bytes of an incomplete frame in `received`
    LIST_ENTRY(client) entry;
    unsigned char received[FRAME_BYTES_MAX];
    unsigned char backlog[BACKLOG_BYTES_MAX]; // complete frames; the first may be partly sent
};

static LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);
static size_t client_count;
static struct client door; // the listener, which is only heard
static int epoll;

static int listen_on(const char *address);
static void note(struct client *c, uint32_t events);
static enum progress accept_clients(void);
static enum progress hear(struct client *c);
static enum progress speak(struct client *c);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

static bool watch(struct client *c, int fd) {
    c->fd = fd;
    struct epoll_event all = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &all) == 0;
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || !watch(&door, listen_on(argv[1])))
        fail("cannot wait for events", strerror(errno));
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    struct epoll_event events[EVENTS_MAX];
    for (int wait_ms = -1;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, wait_ms);
        if (count < 0 && errno != EINTR)
            fail("cannot wait for events", strerror(errno));
        for (int i = 0; i < count; i++)
            note(events[i].data.ptr, events[i].events);
        wait_ms = accept_clients() == YIELDED ? ACCEPT_PAUSE_MS : -1;
        struct client *c, *next;
        // All hear before anyone speaks, so what a round has brought is sent in one call.
        LIST_FOREACH(c, &clients, entry)
            if (hear(c) == YIELDED)
                wait_ms = 0;
        for (c = LIST_FIRST(&clients); c; c = next) {
            next = LIST_NEXT(c, entry);
            if (speak(c) != ENDED)
                continue;
            LIST_REMOVE(c, entry);
            client_count--;
            close(c->fd); // and with that it is out of the epoll set
            free(c);
        }
    }
}

static void note(struct client *c, uint32_t events) {
    c->readable |= events & ~(uint32_t)EPOLLOUT;
    c->writable |= events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    c->hung_up |= events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
}

static bool add_client(int fd) {
    struct client *c = calloc(1, sizeof *c);
    if (!c || !watch(c, fd))
        return free(c), close(fd), false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    LIST_INSERT_HEAD(&clients, c, entry);
    client_count++;
    return true;
}

static enum progress accept_clients(void) {
    static unsigned failures; // since the last success
    int fd;
    BEGIN(door.hearing)
    for (;;) {
        WAIT_UNTIL(door.hearing, door.readable);
        fd = accept4(door.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && add_client(fd)) {
            failures = 0;
        } else if (fd < 0 && errno == EAGAIN) {
            door.readable = false;
        } else { // descriptors or memory have run out: some will be freed
            if (failures++ == 0)
                perror("server: cannot accept a client");
            YIELD(door.hearing);
        }
    }
    END(door.hearing);
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
    LIST_FOREACH(c, &clients, entry) {
        size_t room = c->silent || c->broken ? 0 : BACKLOG_BYTES_MAX - c->end;
        size_t fitting = length <= room ? length : whole_frames(frames, room);
        memcpy(c->backlog + c->end, frames, fitting);
        c->end += fitting;
    }
}

// One read, of at most a client's share of a backlog.
static void receive(struct client *c) {
    static unsigned char buffer[FRAME_BYTES_MAX + BACKLOG_BYTES_MAX];
    size_t share = MAX(BACKLOG_BYTES_MAX / client_count, FRAME_BYTES_MAX);
    ssize_t received = recv(c->fd, buffer + c->partial, share, 0);
    if (received < 0 && errno == EAGAIN) {
        c->readable = false;
    } else if (received <= 0) {
        c->silent = true;
        c->broken |= received < 0;
    } else {
        memcpy(buffer, c->received, c->partial);
        size_t length = c->partial + (size_t)received, whole = whole_frames(buffer, length);
        c->partial = length - whole;
        memcpy(c->received, buffer + whole, c->partial);
        // The socket is empty now, unless the end of the stream is still to be read.
        c->readable = (size_t)received == share || c->hung_up;
        if (whole > 0)
            broadcast(buffer, whole);
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
    }
}

static enum progress hear(struct client *c) {
    BEGIN(c->hearing)
    while (!c->silent) {
        WAIT_UNTIL(c->hearing, c->readable);
        receive(c);
        if (c->readable)
            YIELD(c->hearing);
    }
    END(c->hearing);
}

static enum progress send_backlog(struct client *c) {
    ssize_t sent;
    BEGIN(c->sending)
    while (c->end > 0 && !c->broken) {
        WAIT_UNTIL(c->sending, c->writable);
        sent = send(c->fd, c->backlog, c->end, MSG_NOSIGNAL);
        if (sent >= 0)
            memmove(c->backlog, c->backlog + sent, c->end -= (size_t)sent);
        c->writable = sent >= 0;
        c->broken = sent < 0 && errno != EAGAIN;
    }
    END(c->sending);
}
static enum progress speak(struct client *c) {
    BEGIN(c->speaking)
    while (!c->broken && (!c->silent || c->end > 0)) {
        WAIT_UNTIL(c->speaking, c->end > 0 || c->silent || c->broken);
        AWAIT(c->speaking, send_backlog(c));
    }
    WAIT_UNTIL(c->speaking, c->silent); // what it sent before a reset is still heard
    END(c->speaking);
}

// HOST is an IPv4 address, or an IPv6 address in brackets.
static int listen_on(const char *address) {
    char host[64], port[6];
    int end = 0;
    const char *format = address[0] == '[' ? "[%63[^]]]:%5[0-9]%n" : "%63[^:]:%5[0-9]%n";
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    if (sscanf(address, format, host, port, &end) != 2 || address[end] || atoi(port) > 65535)
        fail(address, "not HOST:PORT");
    if (getaddrinfo(host, port, &hints, &found))
        fail(address, "not an IP address and a port");
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)); // fails for IPv4
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, LISTEN_BACKLOG))
        fail(address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}
