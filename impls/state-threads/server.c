// State threads: a program for threads, on one thread of the kernel and an event loop.
//
// The idea: every call that may wait has a twin with the prefix st_, which lets another thread
// run instead. Nothing else does, so between two such calls a thread is alone: data can be shared
// without locks, and what would be a race in other programs is a plain assignment here.
//
//     main -> hear -- broadcast --> backlog of each client --> speak
//
// How a message flows. hear() is a thread per client: it reads what its client has sent, and
// broadcast() appends the complete frames to every client's backlog, the sender's included. It
// makes no call that waits, so no other thread runs before it returns: it is the sequencing
// point. It signals each client's condition variable, for which speak() waits, the client's
// second thread; that takes a chunk out of the backlog and writes it.
//
// A thread that always finds something to read would never wait, so hear() lets the others run
// after each read. When the stream ends, hear() waits for the end of speak().
//
// A backlog is bounded: a client that reads too slowly misses the frames that do not fit.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <st.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    BACKLOG_BYTES_MAX = 64 * 1024, // queued for one client
    CHUNK_BYTES_MAX = 16 * 1024,   // being written to one client
    STACK_BYTES = 64 * 1024,       // of a thread; it is only mapped until it is used
    FRAME_BYTES_MAX = 1 + 255,     // the length byte and the body
    LISTEN_BACKLOG = 1024,         // connections queued in the kernel
    ACCEPT_PAUSE_US = 100 * 1000,  // when descriptors or memory have run out
};

struct client {
    st_netfd_t socket;
    st_cond_t news; // there is something in the backlog, or one of the next two has changed
    bool silent;    // it sends no more, and only its backlog is still sent
    bool broken;    // nothing can be sent to it
    size_t end;     // of what the backlog holds
    LIST_ENTRY(client) entry;
    unsigned char backlog[BACKLOG_BYTES_MAX]; // complete frames; the first may be partly taken
};

static LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);
static size_t client_count;

static int listen_on(const char *address);
static bool attend(st_netfd_t socket);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    // The default is select(), which takes no descriptor above 1023. st_init() ignores SIGPIPE.
    if (st_set_eventsys(ST_EVENTSYS_POLL) || st_init())
        fail("cannot start", strerror(errno));
    st_netfd_t listener = st_netfd_open_socket(listen_on(argv[1]));
    if (!listener)
        fail("cannot start", strerror(errno));
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    for (bool failed = false;;) {
        st_netfd_t socket = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);
        bool fails = !socket || !attend(socket);
        if (fails && !failed)
            perror("server: cannot accept a client");
        if (fails)
            st_usleep(ACCEPT_PAUSE_US); // some will be freed
        failed = fails;
    }
}

// The length of the complete frames at the start of `bytes`.
static size_t whole_frames(const unsigned char *bytes, size_t length) {
    size_t end = 0;
    while (end < length && end + bytes[end] < length)
        end += 1u + bytes[end];
    return end;
}

// The sequencing point. st_cond_signal() makes a thread runnable, but lets none run.
static void broadcast(const unsigned char *frames, size_t length) {
    struct client *c;
    LIST_FOREACH (c, &clients, entry) {
        size_t room = c->broken ? 0 : BACKLOG_BYTES_MAX - c->end;
        size_t fitting = length <= room ? length : whole_frames(frames, room);
        memcpy(c->backlog + c->end, frames, fitting);
        c->end += fitting;
        st_cond_signal(c->news);
    }
}

// Reads until the end of the stream. Threads share the buffer: it is filled by the last thing
// that st_read() does, and emptied before the next call that waits.
static void read_frames(struct client *c) {
    static unsigned char buffer[FRAME_BYTES_MAX + BACKLOG_BYTES_MAX];
    unsigned char partial_frame[FRAME_BYTES_MAX];
    for (size_t partial = 0;; st_usleep(0)) { // the others have their turn
        size_t share = MAX(BACKLOG_BYTES_MAX / client_count, FRAME_BYTES_MAX);
        ssize_t received = st_read(c->socket, buffer + partial, share, ST_UTIME_NO_TIMEOUT);
        c->broken |= received < 0;
        if (received <= 0)
            return;
        memcpy(buffer, partial_frame, partial);
        size_t length = partial + (size_t)received, whole = whole_frames(buffer, length);
        partial = length - whole;
        memcpy(partial_frame, buffer + whole, partial);
        if (whole > 0)
            broadcast(buffer, whole);
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            setsockopt(st_netfd_fileno(c->socket), IPPROTO_TCP, TCP_QUICKACK, &(int){1},
                       sizeof(int));
    }
}

static void *speak(void *argument) {
    struct client *c = argument;
    while (!c->broken && (!c->silent || c->end > 0)) {
        unsigned char chunk[CHUNK_BYTES_MAX];
        size_t length = MIN(c->end, sizeof chunk);
        memcpy(chunk, c->backlog, length);
        memmove(c->backlog, c->backlog + length, c->end -= length);
        if (length == 0)
            st_cond_wait(c->news);
        else if (st_write(c->socket, chunk, length, ST_UTIME_NO_TIMEOUT) < 0)
            c->broken = true;
    }
    return NULL;
}

static void release(struct client *c) {
    st_netfd_close(c->socket);
    st_cond_destroy(c->news);
    free(c);
}

static void *hear(void *argument) {
    struct client *c = argument;
    st_thread_t speaker = st_thread_create(speak, c, true, STACK_BYTES);
    if (speaker)
        read_frames(c);
    LIST_REMOVE(c, entry);
    client_count--;
    c->silent = true;
    st_cond_signal(c->news);
    if (speaker)
        st_thread_join(speaker, NULL);
    release(c);
    return NULL;
}

// Takes the socket in any case.
static bool attend(st_netfd_t socket) {
    struct client *c = calloc(1, sizeof *c);
    if (!c || !(c->news = st_cond_new()))
        return st_netfd_close(socket), free(c), false;
    c->socket = socket;
    setsockopt(st_netfd_fileno(socket), IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (!st_thread_create(hear, c, false, STACK_BYTES))
        return release(c), false;
    LIST_INSERT_HEAD(&clients, c, entry); // hear() does not run before this thread waits
    client_count++;
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
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)); // fails for IPv4
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, LISTEN_BACKLOG))
        fail(address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}
