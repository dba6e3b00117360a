// Signals: the kernel queues one for each socket that has become ready, and a loop takes them.
//
// The idea: a descriptor can have a signal of its own choosing (F_SETSIG). The kernel sends it
// whenever the descriptor becomes readable or writable, with the descriptor in it, and queues it
// like any real-time signal. The signal is blocked, so no handler ever interrupts anything:
// the program takes it from the queue when it likes, with sigtimedwait().
//
// How a message flows. take_signals() empties the queue, and note() records in the client what a
// signal reports. read_once() reads from each readable client, and broadcast() appends the
// complete frames to every client's backlog, the sender's included. There is one thread, so the
// order of these appends is the order of the messages: it is the sequencing point. Then
// write_backlog() sends what has gathered, many messages with one system call.
//
//     signals -- note --> clients -- broadcast --> backlogs -- write_backlog
//
// The queue of signals is bounded. When it is full the kernel sends SIGIO instead, which says
// that something has become ready, but not what: then every client has a turn.
//
// A backlog is bounded, too: a client that reads too slowly misses the frames that do not fit.
//
// Shortcut: a round looks at all clients, as there is no list of the active ones.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/queue.h>
#include <unistd.h>

#define READY SIGRTMIN // what the kernel sends; not a constant

enum {
    BACKLOG_BYTES_MAX = 64 * 1024, // queued for one client
    FRAME_BYTES_MAX = 1 + 255,     // the length byte and the body
    SIGNALS_MAX = 256,             // taken per round; further ones wait in the kernel
    LISTEN_BACKLOG = 1024,         // connections queued in the kernel
    ACCEPT_PAUSE_MS = 100,         // when descriptors have run out
};

struct client {
    int fd;
    bool readable, writable; // since the last signal, until a call would block
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
static struct client **by_fd; // as many as there can be descriptors; NULL: no client
static bool acceptable;       // since the last signal, until accept would block

static int listen_on(const char *address);
static bool arm(int fd);
static void take_signals(const sigset_t *blocked, int wait_ms);
static bool accept_clients(int listener);
static void read_once(struct client *c);
static void write_clients(void);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, READY);
    sigaddset(&blocked, SIGIO);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    int listener = listen_on(argv[1]);
    by_fd = calloc((size_t)sysconf(_SC_OPEN_MAX), sizeof *by_fd);
    if (!by_fd || !arm(listener))
        fail("cannot start", strerror(errno));
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    for (int wait_ms = -1;;) {
        take_signals(&blocked, wait_ms);
        wait_ms = acceptable && !accept_clients(listener) ? ACCEPT_PAUSE_MS : -1;
        struct client *c;
        LIST_FOREACH (c, &clients, entry) {
            if (c->readable)
                read_once(c);
            if (c->readable)
                wait_ms = 0; // it has its next turn in the next round
        }
        write_clients();
    }
}

// From now on the kernel sends a signal for each change. What has happened before is not
// reported, so the first turn of a client is for free.
static bool arm(int fd) {
    return !fcntl(fd, F_SETOWN, getpid()) && !fcntl(fd, F_SETSIG, READY) &&
           !fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC);
}

static void note(struct client *c, long what) {
    c->readable |= !c->silent && what & ~(long)POLLOUT;
    c->writable |= what & (POLLOUT | POLLHUP | POLLERR);
}

// A signal may be about a descriptor that was closed, and has another client by now. That
// client tries once, and finds nothing.
static void take_signals(const sigset_t *blocked, int wait_ms) {
    struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000L};
    for (int i = 0; i < SIGNALS_MAX; i++, wait.tv_nsec = wait_ms = 0) {
        siginfo_t info;
        int signal = sigtimedwait(blocked, &info, wait_ms < 0 ? NULL : &wait);
        struct client *c = signal == READY ? by_fd[info.si_fd] : NULL;
        if (signal < 0)
            return; // none is left
        if (c)
            note(c, info.si_band);
        else
            acceptable = true;
        if (signal == SIGIO)
            LIST_FOREACH (c, &clients, entry)
                note(c, POLLIN | POLLOUT);
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
    LIST_FOREACH (c, &clients, entry) {
        size_t room = c->silent || c->broken ? 0 : BACKLOG_BYTES_MAX - c->end;
        size_t fitting = length <= room ? length : whole_frames(frames, room);
        memcpy(c->backlog + c->end, frames, fitting);
        c->end += fitting;
    }
}

// One read, of at most a client's share of a backlog.
static void read_once(struct client *c) {
    static unsigned char buffer[FRAME_BYTES_MAX + BACKLOG_BYTES_MAX];
    size_t share = MAX(BACKLOG_BYTES_MAX / client_count, FRAME_BYTES_MAX);
    ssize_t received = recv(c->fd, buffer + c->partial, share, 0);
    if (received <= 0) {
        c->readable = false;
        c->silent = received == 0 || errno != EAGAIN;
        c->broken |= received < 0 && errno != EAGAIN;
    } else {
        memcpy(buffer, c->received, c->partial);
        size_t length = c->partial + (size_t)received, whole = whole_frames(buffer, length);
        c->partial = length - whole;
        memcpy(c->received, buffer + whole, c->partial);
        if (whole > 0)
            broadcast(buffer, whole);
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
    }
}

static void write_backlog(struct client *c) {
    while (c->end > 0 && c->writable && !c->broken) {
        ssize_t sent = send(c->fd, c->backlog, c->end, MSG_NOSIGNAL);
        if (sent >= 0)
            memmove(c->backlog, c->backlog + sent, c->end -= (size_t)sent);
        c->writable = sent >= 0;
        c->broken = sent < 0 && errno != EAGAIN;
    }
}

static void write_clients(void) {
    for (struct client *c = LIST_FIRST(&clients), *next; c; c = next) {
        next = LIST_NEXT(c, entry);
        write_backlog(c);
        if (!c->silent || (c->end > 0 && !c->broken))
            continue; // what it sent before a reset is still read
        LIST_REMOVE(c, entry);
        client_count--;
        by_fd[c->fd] = NULL;
        close(c->fd);
        free(c);
    }
}

// Returns false if descriptors or memory have run out: some will be freed.
static bool accept_clients(int listener) {
    static unsigned failures; // since the last success
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        acceptable = fd >= 0 || errno != EAGAIN;
        if (!acceptable)
            return true;
        struct client *c = fd < 0 ? NULL : calloc(1, sizeof *c);
        if (!c || !arm(fd)) {
            if (failures++ == 0)
                perror("server: cannot accept a client");
            return free(c), close(fd), false;
        }
        failures = 0;
        c->fd = fd;
        c->readable = c->writable = true;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        LIST_INSERT_HEAD(&clients, c, entry);
        client_count++;
        by_fd[fd] = c;
    }
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
