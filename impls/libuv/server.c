// Callbacks in C: libuv, which Node.js stands on, without the JavaScript.
//
// The idea: the library owns the loop and calls back. What a callback needs later must
// lie in memory that outlives it: a handle lives until its close callback, a request and
// the bytes that it writes until its write callback. So every kind of memory here has
// exactly one callback that frees it: on_written() a write, and with the last write its
// block; on_closed() a client.
//
// How a message flows. on_read() joins what has arrived with the incomplete frame that
// came before, and say() appends the complete frames to the round's `gathered` bytes. There
// is one thread, so the order of these appends is the order of the messages. When the loop
// has called back for everything that was ready, publish() makes the gathered bytes a
// block, which all clients share, and requests a write of it to each.
//
//     on_read --> say --> gathered -- publish --> a write for each client --> on_written
//
// libuv queues writes without a bound. So publish() asks how long a client's queue is: a
// client that reads too slowly misses the block, which holds complete frames only.
//
// Shortcuts: the frames of a block are dropped together. When descriptors run out, libuv
// itself accepts waiting connections and closes them at once.
#define _DEFAULT_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <uv.h>

enum {
    QUEUE_BYTES_MAX = 128 * 1024, // queued for one client, in shared blocks,
    QUEUE_WRITES_MAX = 64,        // and in so many writes
    BLOCK_BYTES_MAX = 32 * 1024,  // published at once; fewer if a round brings fewer
    READ_BYTES_MAX = 16 * 1024,   // per read
    FRAME_BYTES_MAX = 1 + 255,    // the length byte and the body
    LISTEN_BACKLOG = 1024,        // connections queued in the kernel
};

struct block {
    size_t holders; // writes that are not done
    size_t length;
    char bytes[];
};

struct write {
    uv_write_t request; // the first member, so that its address is the write's
    struct block *block;
};

struct client {
    uv_tcp_t socket; // the first member, as above
    uv_shutdown_t shutdown;
    bool leaving;   // it sends no more, and only what is queued is still sent
    size_t writes;  // that are not done
    size_t partial; // bytes of an incomplete frame in `received`
    char received[FRAME_BYTES_MAX];
    LIST_ENTRY(client) entry;
};

static LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);
static char gathered[BLOCK_BYTES_MAX]; // complete frames, said since the last block
static size_t gathered_length;

static void parse(const char *address, struct sockaddr_storage *parsed);
static void on_connection(uv_stream_t *listener, int status);
static void on_round_end(uv_check_t *check);

static void check(const char *what, int status) {
    if (status >= 0)
        return;
    fprintf(stderr, "server: %s: %s\n", what, uv_strerror(status));
    exit(1);
}

int main(int argc, char *argv[]) {
    struct sockaddr_storage address;
    uv_tcp_t listener;
    uv_check_t round_end;
    if (argc != 2) {
        fprintf(stderr, "usage: server HOST:PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    parse(argv[1], &address);
    check("cannot start", uv_tcp_init(uv_default_loop(), &listener));
    unsigned flags = address.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
    check(argv[1], uv_tcp_bind(&listener, (const struct sockaddr *)&address, flags));
    check(argv[1], uv_listen((uv_stream_t *)&listener, LISTEN_BACKLOG, on_connection));
    check("cannot start", uv_check_init(uv_default_loop(), &round_end));
    check("cannot start", uv_check_start(&round_end, on_round_end));
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        return 1;
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT); // as long as there are handles
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    check("cannot go on", memory ? 0 : UV_ENOMEM);
    return memory;
}

static void on_closed(uv_handle_t *socket) {
    free(socket); // the client, all of whose writes have been called back
}

static void close_client(struct client *c) {
    if (uv_is_closing((uv_handle_t *)c))
        return;
    LIST_REMOVE(c, entry);
    uv_close((uv_handle_t *)c, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status) {
    (void)status; // in any case there is nothing more to be sent
    close_client((struct client *)request->handle);
}

static void on_written(uv_write_t *request, int status) {
    struct write *w = (struct write *)request;
    struct client *c = (struct client *)request->handle;
    c->writes--;
    if (--w->block->holders == 0)
        free(w->block);
    free(w);
    if (status < 0) // it has disconnected
        close_client(c);
}

static void publish(void) {
    if (gathered_length == 0)
        return;
    struct block *b = allocate(sizeof *b + gathered_length);
    b->holders = 1; // this function
    b->length = gathered_length;
    memcpy(b->bytes, gathered, gathered_length);
    gathered_length = 0;
    struct client *c;
    LIST_FOREACH(c, &clients, entry) {
        size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)c);
        if (c->leaving || c->writes == QUEUE_WRITES_MAX || queued + b->length > QUEUE_BYTES_MAX)
            continue;
        struct write *w = allocate(sizeof *w);
        w->request.handle = (uv_stream_t *)c;
        w->block = b;
        b->holders++;
        c->writes++;
        uv_buf_t bytes = uv_buf_init(b->bytes, (unsigned)b->length);
        int status = uv_write(&w->request, w->request.handle, &bytes, 1, on_written);
        if (status < 0)
            on_written(&w->request, status);
    }
    if (--b->holders == 0)
        free(b);
}

static void on_round_end(uv_check_t *handle) {
    (void)handle;
    publish();
}

// The sequencing point.
static void say(const char *frames, size_t length) {
    if (gathered_length + length > BLOCK_BYTES_MAX)
        publish();
    memcpy(gathered + gathered_length, frames, length);
    gathered_length += length;
}

// The length of the complete frames at the start of `bytes`.
static size_t whole_frames(const char *bytes, size_t length) {
    size_t end = 0;
    while (end < length && end + (unsigned char)bytes[end] < length)
        end += 1u + (unsigned char)bytes[end];
    return end;
}

// All clients read into one buffer: libuv calls on_read as soon as it has filled it.
static void on_room_wanted(uv_handle_t *socket, size_t suggested, uv_buf_t *room) {
    static char buffer[FRAME_BYTES_MAX + READ_BYTES_MAX];
    (void)suggested;
    struct client *c = (struct client *)socket;
    memcpy(buffer, c->received, c->partial);
    *room = uv_buf_init(buffer + c->partial, READ_BYTES_MAX);
}

static void acknowledge(struct client *c) {
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)c, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

static void on_read(uv_stream_t *socket, ssize_t received, const uv_buf_t *room) {
    struct client *c = (struct client *)socket;
    if (received == UV_EOF) {
        publish(); // its last messages are queued before the end
        c->leaving = true;
        uv_read_stop(socket);
        if (uv_shutdown(&c->shutdown, socket, on_shutdown) < 0)
            close_client(c);
    } else if (received < 0) {
        close_client(c);
    } else if (received > 0) {
        const char *bytes = room->base - c->partial;
        size_t length = c->partial + (size_t)received, whole = whole_frames(bytes, length);
        c->partial = length - whole;
        memcpy(c->received, bytes + whole, c->partial);
        if (whole > 0)
            say(bytes, whole);
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            acknowledge(c);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    if (status < 0)
        return;
    publish(); // what was said before this client came is not for it
    struct client *c = allocate(sizeof *c);
    *c = (struct client){0};
    check("cannot go on", uv_tcp_init(listener->loop, &c->socket));
    LIST_INSERT_HEAD(&clients, c, entry);
    uv_tcp_nodelay(&c->socket, true);
    if (uv_accept(listener, (uv_stream_t *)c) ||
        uv_read_start((uv_stream_t *)c, on_room_wanted, on_read))
        close_client(c);
}

// HOST is an IPv4 address, or an IPv6 address in brackets.
static void parse(const char *address, struct sockaddr_storage *parsed) {
    const char *colon = strrchr(address, ':');
    bool ipv6 = address[0] == '[' && colon && colon[-1] == ']';
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (digits == 0 || digits > 5 || colon[1 + digits] || port > 65535)
        check(address, UV_EINVAL);
    char host[128]; // more than the longest address
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * ipv6, address + ipv6);
    check(address, ipv6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)parsed)
                        : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)parsed));
}
