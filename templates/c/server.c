/* __NAME__: one thread and poll(2).
 *
 * How a message flows. main() asks poll which sockets are ready. read_client reads
 * once from a readable client and appends the complete frames to every client's
 * backlog, including the sender's; the order of these appends is the order of the
 * messages. Then write_backlog writes as much of each backlog as the socket accepts.
 * A backlog is bounded: a client that reads too slowly misses the frames that do not
 * fit. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG_BYTES_MAX = 64 * 1024, /* queued for one client */
    READ_BYTES_MAX = 16 * 1024,    /* per read of one client, then the next has its turn */
    ACCEPT_PAUSE_MS = 100,         /* when descriptors have run out */
};

struct client {
    int fd;
    bool leaving; /* it sends no more, and only its backlog is still sent */
    size_t received, backlog;
    unsigned char in[READ_BYTES_MAX];     /* between reads: less than a frame */
    unsigned char out[BACKLOG_BYTES_MAX]; /* complete frames; the first may be partly sent */
};

static struct client **clients;
static struct pollfd *polled; /* [0] is the listener, [i + 1] is clients[i] */
static size_t count, capacity;

static void fail(const char *address, const char *why) {
    fprintf(stderr, "server: error: cannot listen on %s: %s\n", address, why);
    exit(1);
}

static void grow(void) {
    capacity = capacity ? 2 * capacity : 64;
    clients = realloc(clients, capacity * sizeof *clients);
    polled = realloc(polled, (capacity + 1) * sizeof *polled);
    if (!clients || !polled) {
        fprintf(stderr, "server: error: out of memory\n");
        exit(1);
    }
}

static int listen_on(const char *address) {
    char host[256], *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    snprintf(host, sizeof host, "%s", address[0] == '[' ? address + 1 : address);
    if (!(port = strrchr(host, ':')) || port == host)
        fail(address, "expected HOST:PORT");
    *port++ = '\0';
    if (!isdigit((unsigned char)*port) || port[strspn(port, "0123456789")] || atol(port) > 65535)
        fail(address, "invalid port: write a number from 0 to 65535");
    if (address[0] == '[' ? host[strlen(host) - 1] != ']' : strchr(host, ':') != NULL)
        fail(address, "an IPv6 address is written in brackets: [::1]:8080");
    if (address[0] == '[')
        host[strlen(host) - 1] = '\0';
    int error = getaddrinfo(host, port, &hints, &found), yes = 1;
    if (error)
        fail(address, gai_strerror(error));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 1024))
        fail(address, strerror(errno));
    socklen_t size = found->ai_addrlen;
    char digits[8];
    getsockname(fd, found->ai_addr, &size);
    getnameinfo(found->ai_addr, size, host, sizeof host, digits, sizeof digits, NI_NUMERICHOST | NI_NUMERICSERV);
    printf(strchr(host, ':') ? "listening on [%s]:%s\n" : "listening on %s:%s\n", host, digits);
    freeaddrinfo(found);
    if (fflush(stdout))
        fail(address, "cannot write to standard output");
    return fd;
}

/* Returns false if there is no descriptor or memory for a pending connection. */
static bool accept_clients(int listener) {
    for (;;) {
        int yes = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == ECONNABORTED)
            continue;
        struct client *client = fd < 0 ? NULL : malloc(sizeof *client);
        if (!client) {
            if (fd < 0 && errno == EAGAIN)
                return true;
            fprintf(stderr, "server: cannot accept a client: %s\n", strerror(errno));
            if (fd >= 0)
                close(fd);
            return false;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        client->fd = fd;
        client->leaving = false;
        client->received = client->backlog = 0;
        if (count == capacity)
            grow();
        clients[count++] = client;
    }
}

static void read_client(struct client *client) {
    ssize_t n = recv(client->fd, client->in + client->received, sizeof client->in - client->received, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        client->leaving = true;
        if (n < 0)
            client->backlog = 0; /* reset: nothing more can be written */
        return;
    }
    client->received += (size_t)n;
    size_t end = 0; /* of the last complete frame */
    while (end < client->received && end + client->in[end] < client->received)
        end += 1u + client->in[end];
    /* Only part of a frame: its sender may wait for an acknowledgement, which the kernel
     * delays by 40 ms unless told otherwise each time. */
    int yes = 1;
    if (!end)
        setsockopt(client->fd, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
    for (size_t i = 0; i < count; i++) {
        struct client *to = clients[i];
        if (!to->leaving && to->backlog + end <= sizeof to->out) {
            memcpy(to->out + to->backlog, client->in, end);
            to->backlog += end;
        }
    }
    memmove(client->in, client->in + end, client->received -= end);
}

static void write_backlog(struct client *client) {
    ssize_t n = send(client->fd, client->out, client->backlog, MSG_NOSIGNAL);
    if (n >= 0) {
        memmove(client->out, client->out + n, client->backlog -= (size_t)n);
    } else if (errno != EAGAIN) {
        client->leaving = true;
        client->backlog = 0;
    }
}

/* The events that the client waits for. */
static short wanted(const struct client *client) {
    int events = client->leaving ? 0 : POLLIN;
    if (client->backlog)
        events |= POLLOUT;
    return (short)events;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "server: error: expected one argument, HOST:PORT\n");
        return 1;
    }
    int listener = listen_on(argv[1]);
    bool accepting = true;
    grow();
    for (;;) {
        /* poll ignores a negative descriptor: no accepting until the pause is over. */
        polled[0] = (struct pollfd){.fd = accepting ? listener : -1, .events = POLLIN};
        for (size_t i = 0; i < count; i++)
            polled[i + 1] = (struct pollfd){
                .fd = clients[i]->fd,
                .events = wanted(clients[i])};
        if (poll(polled, count + 1, accepting ? -1 : ACCEPT_PAUSE_MS) < 0 && errno != EINTR) {
            fprintf(stderr, "server: error: cannot wait: %s\n", strerror(errno));
            return 1;
        }
        for (size_t i = 0; i < count; i++)
            if (!clients[i]->leaving && (polled[i + 1].revents & ~POLLOUT))
                read_client(clients[i]);
        if (!accepting || polled[0].revents)
            accepting = accept_clients(listener);
        for (size_t i = count; i-- > 0;) {
            if (clients[i]->backlog)
                write_backlog(clients[i]);
            if (clients[i]->leaving && !clients[i]->backlog) {
                close(clients[i]->fd);
                free(clients[i]);
                clients[i] = clients[--count];
            }
        }
    }
}
