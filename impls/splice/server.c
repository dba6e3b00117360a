// Kernel offload: messages wait in pipes, and the kernel moves them to the sockets.
//
// The idea: a pipe is a queue in the kernel, and three system calls connect it without a copy.
// The program reads what a client has sent, because it must look at the lengths, and writes the
// complete frames into a pipe, the room. tee() gives each client's own pipe a reference to that
// page, and splice() moves the reference on into the client's socket. So a message is copied
// once into the kernel, whatever the number of clients.
//
//     read_once -- broadcast: write --> room == tee ==> a pipe per client -- splice --> socket
//
// How a message flows. read_once() reads less than a page, and broadcast() writes the complete
// frames in it, a batch, into the empty room. One page is one slot of a pipe, so tee() either
// gives a client all of the batch or, if its pipe has no free slot, nothing of it. There is one
// thread, so the order of the batches in all pipes is the same: broadcast() is the sequencing
// point. send_some() empties a client's pipe into its socket.
//
// A pipe has so many slots and no more: a client that reads too slowly misses whole batches.
//
// Shortcut: a round with messages looks at all clients, as does each message.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    BATCH_BYTES_MAX = 4096,    // complete frames in one page, which is a slot of a pipe
    QUEUE_BATCHES = 64,        // slots of a client's pipe
    SOCKET_BYTES = 64 * 1024,  // in its socket, where each batch holds its page
    FRAME_BYTES_MAX = 1 + 255, // the length byte and the body
    EVENTS_MAX = 256,          // per round; further ones wait in the kernel
    LISTEN_BACKLOG = 1024,     // connections queued in the kernel
    ACCEPT_PAUSE_MS = 100,     // when descriptors have run out
};

struct pipe {
    int out, in; // to read from and to write to
};

struct client {
    int fd;
    struct pipe queue;
    size_t pending; // bytes in the queue
    bool blocked;   // the socket accepts no more until an event says so
    bool silent;    // it sends no more, and only what is pending is still sent
    bool deaf;      // nothing can be sent to it
    size_t partial; // bytes of an incomplete frame in `received`
    LIST_ENTRY(client) entry;
    unsigned char received[FRAME_BYTES_MAX];
};

static LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);
static struct pipe room;
static int epoll, sink;

static int listen_on(const char *address);
static bool watch(int operation, int fd, uint32_t events, struct client *c);
static bool accept_client(int listener);
static void watch_again(struct client *c);
static void read_once(struct client *c);
static void send_all(void);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

static bool make_queue(struct pipe *queue) {
    if (pipe2((int *)queue, O_NONBLOCK | O_CLOEXEC))
        return false;
    fcntl(queue->in, F_SETPIPE_SZ, QUEUE_BATCHES * BATCH_BYTES_MAX); // if not, it has the usual 16
    return true;
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(argv[1]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    bool watched = watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    if (!watched || sink < 0 || !make_queue(&room))
        fail("cannot start", strerror(errno));
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    for (bool pausing = false;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll, events, EVENTS_MAX, pausing ? ACCEPT_PAUSE_MS : -1);
        if (count < 0 && errno != EINTR)
            fail("cannot wait for events", strerror(errno));
        bool connecting = pausing;
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            connecting |= !c;
            if (c && c->blocked && events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
                c->blocked = false, watch_again(c);
            if (c && !c->silent && events[i].events & ~(uint32_t)EPOLLOUT)
                read_once(c);
        }
        send_all();
        if (connecting) {
            bool accepted = accept_client(listener);
            if (accepted == pausing)
                watch(EPOLL_CTL_MOD, listener, accepted ? EPOLLIN : 0, NULL);
            pausing = !accepted;
        }
    }
}

static bool watch(int operation, int fd, uint32_t events, struct client *c) {
    return !epoll_ctl(epoll, operation, fd, &(struct epoll_event){events, {.ptr = c}});
}

static void watch_again(struct client *c) {
    uint32_t events = (c->silent ? 0 : EPOLLIN) | (c->blocked ? EPOLLOUT : 0);
    watch(EPOLL_CTL_MOD, c->fd, events, c);
}

// Moves what is pending from the pipe to the socket, as far as that accepts it.
static void send_some(struct client *c) {
    while (c->pending > 0 && !c->blocked) {
        ssize_t sent = splice(c->queue.out, NULL, c->fd, NULL, c->pending, SPLICE_F_NONBLOCK);
        c->blocked = sent < 0 && errno == EAGAIN;
        c->deaf |= sent < 0 && errno != EAGAIN;
        c->pending -= c->deaf ? c->pending : sent < 0 ? 0 : (size_t)sent;
        if (c->blocked)
            watch_again(c);
    }
}

static bool enqueue(struct client *c, size_t length) {
    return tee(room.out, c->queue.in, length, SPLICE_F_NONBLOCK) > 0;
}

// The sequencing point.
static void broadcast(const unsigned char *batch, size_t length) {
    if (write(room.in, batch, length) < 0) // the room is empty: memory has run out
        return;
    struct client *c;
    LIST_FOREACH(c, &clients, entry) {
        if (c->silent || c->deaf)
            continue;
        if (enqueue(c, length) || (send_some(c), enqueue(c, length)))
            c->pending += length;
    }
    splice(room.out, NULL, sink, NULL, length, 0);
}

// The length of the complete frames at the start of `bytes`.
static size_t whole_frames(const unsigned char *bytes, size_t length) {
    size_t end = 0;
    while (end < length && end + bytes[end] < length)
        end += 1u + bytes[end];
    return end;
}

static void read_once(struct client *c) {
    static unsigned char batch[BATCH_BYTES_MAX];
    ssize_t received = recv(c->fd, batch + c->partial, sizeof batch - c->partial, 0);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0) {
        c->silent = true;
        c->pending = received < 0 ? 0 : c->pending; // after a reset nothing can be sent
        watch_again(c);
        return;
    }
    memcpy(batch, c->received, c->partial);
    size_t length = c->partial + (size_t)received, whole = whole_frames(batch, length);
    c->partial = length - whole;
    memcpy(c->received, batch + whole, c->partial);
    if (whole > 0)
        broadcast(batch, whole);
    else // acknowledge at once: Nagle's algorithm may hold the rest back until then
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

// A client is freed here, after a round, when no event can refer to it.
static void send_all(void) {
    for (struct client *c = LIST_FIRST(&clients), *next; c; c = next) {
        next = LIST_NEXT(c, entry);
        send_some(c);
        if (!c->silent || c->pending > 0)
            continue;
        LIST_REMOVE(c, entry);
        close(c->fd);
        close(c->queue.out);
        close(c->queue.in);
        free(c);
    }
}

// Returns false if descriptors or memory have run out: some will be freed.
static bool accept_client(int listener) {
    static struct client *next; // with a pipe: nobody is accepted who could not be served
    static bool failed;         // the last time
    if (!next && (next = calloc(1, sizeof *next)) && !make_queue(&next->queue))
        free(next), next = NULL;
    int fd = next ? accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    if (next && fd < 0 && errno == EAGAIN)
        return true;
    if (fd < 0 || !watch(EPOLL_CTL_ADD, fd, EPOLLIN, next)) {
        if (!failed)
            perror("server: cannot accept a client");
        close(fd);
        return !(failed = true);
    }
    failed = false;
    next->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SOCKET_BYTES}, sizeof(int));
    LIST_INSERT_HEAD(&clients, next, entry);
    next = NULL;
    return true;
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
