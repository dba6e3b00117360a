// Communicating sequential processes in C: coroutines and channels of libmill.
//
// One thread runs all coroutines. Each of them is plain sequential code that blocks
// where it has to wait, and they communicate over channels, as in Go. Only the hub
// knows which clients are connected; each client has a reader and a writer.
//
//     reader -- frames --> hub -- queue of each client --> writer
//
// A reader receives complete messages and hands each to the hub. The hub takes one at a
// time (it is the sequencing point) and offers it to every client's queue; `otherwise`,
// when a queue is full, that client misses it. A writer takes messages until its queue
// is empty and then flushes them to its client.
//
// The channels into the hub are unbuffered: a reader blocks until the hub has taken its
// message, so a flood waits in the sender's TCP connection, and a client's leave cannot
// overtake its last message. On a leave the hub ends the queue with NULL. The writer
// receives the rest, then NULL, and closes. No other coroutine closes a client, so none
// waits for a closed descriptor.
//
// Shortcuts: a message is one reference-counted block of memory that all queues share.
// After a reset a writer keeps draining its queue until the hub has learnt of the
// disconnect from the reader, which the same reset has woken.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmill.h>

enum {
    QUEUE_MESSAGES = 64,  // queued for a client that reads slowly
    BACKLOG = 1024,       // connections queued in the kernel
    ACCEPT_RETRY_MS = 50, // pause after a failed accept
    NEVER = -1,           // as a deadline
    AT_ONCE = 0,          // as a deadline: takes what is there
};

struct message {
    int holders; // references: queues it is in, and coroutines that use it
    size_t length;
    unsigned char frame[]; // the length byte and the body
};

struct client {
    tcpsock socket;
    int fd;     // of the socket
    chan queue; // of struct message *, NULL at the end
    LIST_ENTRY(client) entry;
};

static chan joins, leaves; // of struct client *
static chan frames;        // of struct message *

static int parse(const char *argument, ipaddr *address);
static tcpsock listen_at(ipaddr address, int *fd);
static void serve(tcpsock listener, int listener_fd);
static coroutine void hub(void);

int main(int argc, char *argv[])
{
    ipaddr address;
    int listener_fd;
    if (argc != 2) {
        fprintf(stderr, "usage: server HOST:PORT\n");
        return 2;
    }
    if (!parse(argv[1], &address)) {
        fprintf(stderr, "server: %s is not HOST:PORT with an IP address\n", argv[1]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    tcpsock listener = listen_at(address, &listener_fd);
    if (!listener) {
        fprintf(stderr, "server: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    printf("listening on %s\n", argv[1]);
    fflush(stdout);
    joins = chmake(struct client *, 0);
    leaves = chmake(struct client *, 0);
    frames = chmake(struct message *, 0);
    go(hub());
    serve(listener, listener_fd);
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (!memory) {
        perror("server");
        exit(1);
    }
    return memory;
}

static void release(struct message *m)
{
    if (--m->holders == 0)
        free(m);
}

static void offer(struct client *c, struct message *m)
{
    m->holders++; // first: the writer may release it before this coroutine resumes
    choose {
    out(c->queue, struct message *, m):
    otherwise:
        m->holders--; // the queue is full: this client misses the message
    end
    }
}

// The sequencing point.
static coroutine void hub(void)
{
    LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);
    struct client *c;
    for (;;) {
        choose {
        in(joins, struct client *, joined):
            LIST_INSERT_HEAD(&clients, joined, entry);
        in(leaves, struct client *, left):
            LIST_REMOVE(left, entry);
            chdone(left->queue, struct message *, NULL);
        in(frames, struct message *, m):
            LIST_FOREACH(c, &clients, entry)
                offer(c, m);
            release(m);
        end
        }
    }
}

static struct message *receive(struct client *c)
{
    unsigned char length;
    tcprecv(c->socket, &length, 1, NEVER);
    if (errno)
        return NULL;
    struct message *m = allocate(sizeof(*m) + 1 + length);
    m->holders = 1;
    m->length = 1 + (size_t)length;
    m->frame[0] = length;
    size_t received = tcprecv(c->socket, m->frame + 1, length, AT_ONCE);
    if (errno == ETIMEDOUT) {
        // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
        tcprecv(c->socket, m->frame + 1 + received, length - received, NEVER);
    }
    if (errno) { // the stream ends inside the message
        free(m);
        return NULL;
    }
    return m;
}

static coroutine void reader(struct client *c)
{
    struct message *m;
    while ((m = receive(c)))
        chs(frames, struct message *, m);
    chs(leaves, struct client *, c);
}

static coroutine void writer(struct client *c)
{
    int failed = 0; // errno of the failed send: the client has disconnected
    struct message *m = chr(c->queue, struct message *);
    while (m) {
        if (!failed) {
            tcpsend(c->socket, m->frame, m->length, NEVER);
            failed = errno;
        }
        release(m);
        choose {
        in(c->queue, struct message *, next):
            m = next;
        otherwise:
            if (!failed) {
                tcpflush(c->socket, NEVER);
                failed = errno;
            }
            m = chr(c->queue, struct message *);
        end
        }
    }
    if (!failed)
        tcpflush(c->socket, NEVER);
    tcpclose(c->socket);
    chclose(c->queue);
    free(c);
}

// Splits HOST:PORT, where HOST is an IPv4 address or an IPv6 address in brackets.
static int parse(const char *argument, ipaddr *address)
{
    struct in6_addr ignored;
    char host[INET6_ADDRSTRLEN + 2] = "", *name = host;
    const char *colon = strrchr(argument, ':');
    if (!colon || (size_t)(colon - argument) >= sizeof(host))
        return 0;
    memcpy(host, argument, colon - argument);
    size_t digits = strspn(colon + 1, "0123456789");
    int port = atoi(colon + 1);
    if (digits == 0 || digits > 5 || colon[1 + digits] || port > 65535)
        return 0;
    int ipv6 = host[0] == '[' && host[strlen(host) - 1] == ']';
    if (ipv6) {
        host[strlen(host) - 1] = '\0';
        name++;
    }
    if (inet_pton(ipv6 ? AF_INET6 : AF_INET, name, &ignored) != 1)
        return 0;
    *address = iplocal(name, port, ipv6 ? IPADDR_IPV6 : IPADDR_IPV4);
    return errno == 0;
}

// libmill does not expose a socket's descriptor, but a new one is the lowest that is free.
static int next_fd(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    close(fd);
    return fd;
}

// libmill leaves Nagle's algorithm on. Accepted sockets inherit the listener's options.
static tcpsock listen_at(ipaddr address, int *fd)
{
    *fd = next_fd();
    tcpsock listener = tcplisten(address, BACKLOG);
    int error = errno;
    if (listener)
        setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    errno = error;
    return listener;
}

static void admit(tcpsock socket, int fd)
{
    struct client *c = allocate(sizeof(*c));
    c->socket = socket;
    c->fd = fd;
    c->queue = chmake(struct message *, QUEUE_MESSAGES);
    chs(joins, struct client *, c);
    go(reader(c));
    go(writer(c));
}

static void serve(tcpsock listener, int listener_fd)
{
    for (int failures = 0;;) {
        fdwait(listener_fd, FDW_IN, NEVER);
        int fd = next_fd(); // no other coroutine runs before it is taken
        tcpsock socket = tcpaccept(listener, AT_ONCE);
        if (socket) {
            failures = 0;
            admit(socket, fd);
        } else { // descriptors have probably run out; some will be freed
            if (failures++ == 0)
                perror("server: accept");
            msleep(now() + ACCEPT_RETRY_MS);
        }
    }
}
