// Threads and channels, and nobody takes a lock to send a message.
//
// The idea: who walks through the list of clients is not kept away while it changes. A client that
// leaves is taken out of the list by read-copy-update, and synchronize_rcu() waits until nobody can
// be looking at it any more; only then it is freed. The queues need no lock either: the hub's inbox
// is a wait-free queue, into which an atomic exchange puts a message, and an outbox is a ring
// with one writer and one reader, each of which changes an offset of its own.
//
// How a message flows. hear() receives, waits for a place in the inbox, and enqueues its
// complete frames. The exchange in cds_wfcq_enqueue() decides which message is before which: it
// is the sequencing point. run_hub() takes them in that order and walks through the list; deliver()
// copies them into each client's outbox, the sender's included. speak() sends what is there.
//
//     client --> hear --> inbox --> run_hub, deliver --> outboxes --> speak --> client
//
// An outbox is bounded: a client that reads too slowly misses the frames that do not fit. The inbox
// is bounded, too: hear() waits.
//
// Shortcut: each client has its own copy of every message, in its outbox.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <urcu.h>
#include <urcu/rculist.h>
#include <urcu/wfcqueue.h>

enum {
    OUTBOX_BYTES_MAX = 64 * 1024, // queued for one client
    INBOX_MESSAGES_MAX = 64,      // read, and not yet delivered
    READ_BYTES_MAX = 4 * 1024,
    FRAME_BYTES_MAX = 1 + 255,    // the length byte and the body
    LISTEN_BACKLOG = 1024,        // connections queued in the kernel
    STACK_BYTES = 64 * 1024,      // of each thread
    ACCEPT_PAUSE_US = 100 * 1000, // when descriptors or threads have run out
};

struct message { // complete frames; none in the last one of a client
    struct cds_wfcq_node node;
    sem_t *delivered; // who waits for that, or nobody
    size_t length;
    unsigned char frames[];
};

struct client {
    struct cds_list_head entry;
    int fd;
    pthread_t mouth;
    sem_t news;          // the outbox, or `leaving`, has changed
    atomic_bool leaving; // nobody fills the outbox any more
    // Bytes that were ever put into the outbox, by the hub, and taken out of it, by the mouth.
    atomic_size_t put, taken;
    unsigned char outbox[OUTBOX_BYTES_MAX];
};

static struct cds_wfcq_head inbox_head;
static struct cds_wfcq_tail inbox_tail;
static sem_t inbox_places, inbox_messages;
static CDS_LIST_HEAD(clients);
static pthread_mutex_t joining_and_leaving = PTHREAD_MUTEX_INITIALIZER;
static pthread_attr_t small;

static int listen_on(const char *address);
static void *run_hub(void *unused);
static void *hear(void *client);
static void *speak(void *client);
static bool join(int fd);
static void leave(struct client *c);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    int listener = listen_on(argv[1]);
    cds_wfcq_init(&inbox_head, &inbox_tail);
    sem_init(&inbox_places, 0, INBOX_MESSAGES_MAX);
    sem_init(&inbox_messages, 0, 0);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    pthread_t hub;
    if (pthread_create(&hub, &small, run_hub, NULL))
        fail("cannot start", "no thread to be had");
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    for (bool failed = false;;) { // since the last success
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        bool joined = fd >= 0 && join(fd);
        if (!joined) { // some descriptors or threads will be freed
            if (!failed)
                fprintf(stderr, "server: cannot accept a client: %s\n", strerror(errno));
            usleep(ACCEPT_PAUSE_US);
        }
        failed = !joined;
    }
}

// Gives a client its two threads, or closes the connection. The ear frees the client.
static bool join(int fd) {
    struct client *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return false;
    }
    c->fd = fd;
    sem_init(&c->news, 0, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    int error = pthread_create(&c->mouth, &small, speak, c);
    if (error) {
        close(fd);
        free(c);
        errno = error;
        return false;
    }
    pthread_mutex_lock(&joining_and_leaving);
    cds_list_add_rcu(&c->entry, &clients);
    pthread_mutex_unlock(&joining_and_leaving);
    pthread_t ear;
    error = pthread_create(&ear, &small, hear, c);
    if (error)
        leave(c);
    else
        pthread_detach(ear);
    errno = error;
    return !error;
}

// The length of the complete frames at the start of `bytes`.
static size_t whole_frames(const unsigned char *bytes, size_t length) {
    size_t end = 0;
    while (end < length && end + bytes[end] < length)
        end += 1u + bytes[end];
    return end;
}

static void deliver(struct client *c, const struct message *m) {
    size_t put = atomic_load_explicit(&c->put, memory_order_relaxed);
    size_t taken = atomic_load_explicit(&c->taken, memory_order_acquire);
    size_t room = OUTBOX_BYTES_MAX - (put - taken), at = put % OUTBOX_BYTES_MAX;
    size_t length = m->length <= room ? m->length : whole_frames(m->frames, room);
    size_t first = length < OUTBOX_BYTES_MAX - at ? length : OUTBOX_BYTES_MAX - at;
    memcpy(c->outbox + at, m->frames, first);
    memcpy(c->outbox, m->frames + first, length - first);
    atomic_store_explicit(&c->put, put + length, memory_order_release);
    sem_post(&c->news);
}

static void *run_hub(void *unused) {
    rcu_register_thread();
    for (;;) {
        while (sem_wait(&inbox_messages)) // was interrupted
            continue;
        struct cds_wfcq_node *node = cds_wfcq_dequeue_blocking(&inbox_head, &inbox_tail);
        struct message *m = caa_container_of(node, struct message, node);
        struct client *c;
        rcu_read_lock(); // takes no lock: it says that this thread may be looking at clients
        cds_list_for_each_entry_rcu(c, &clients, entry)
            if (m->length > 0)
                deliver(c, m);
        rcu_read_unlock();
        if (m->delivered)
            sem_post(m->delivered);
        free(m);
        sem_post(&inbox_places);
    }
    return unused;
}

static void tell(const unsigned char *frames, size_t length, sem_t *delivered) {
    while (sem_wait(&inbox_places)) // was interrupted
        continue;
    struct message *m = malloc(sizeof *m + length);
    if (!m)
        fail("cannot go on", strerror(errno));
    cds_wfcq_node_init(&m->node);
    m->length = length;
    m->delivered = delivered;
    if (length > 0)
        memcpy(m->frames, frames, length);
    cds_wfcq_enqueue(&inbox_head, &inbox_tail, &m->node); // the sequencing point
    sem_post(&inbox_messages);
}

static void leave(struct client *c) {
    sem_t delivered; // all that it has sent, to itself, too
    sem_init(&delivered, 0, 0);
    tell(NULL, 0, &delivered);
    while (sem_wait(&delivered))
        continue;
    sem_destroy(&delivered);
    pthread_mutex_lock(&joining_and_leaving);
    cds_list_del_rcu(&c->entry);
    pthread_mutex_unlock(&joining_and_leaving);
    synchronize_rcu(); // until the hub is not looking at it any more
    atomic_store(&c->leaving, true);
    sem_post(&c->news);
    pthread_join(c->mouth, NULL);
    close(c->fd);
    sem_destroy(&c->news);
    free(c);
}

static void *hear(void *client) {
    struct client *c = client;
    unsigned char buffer[FRAME_BYTES_MAX + READ_BYTES_MAX];
    size_t length = 0; // of an incomplete frame
    ssize_t received;
    while ((received = recv(c->fd, buffer + length, READ_BYTES_MAX, 0)) > 0) {
        length += (size_t)received;
        size_t whole = whole_frames(buffer, length);
        if (whole > 0)
            tell(buffer, whole, NULL);
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
        memmove(buffer, buffer + whole, length -= whole);
    }
    leave(c);
    return NULL;
}

static void *speak(void *client) {
    struct client *c = client;
    for (bool broken = false;;) {
        bool leaving = atomic_load(&c->leaving); // before the outbox is looked at
        size_t taken = atomic_load_explicit(&c->taken, memory_order_relaxed);
        size_t length = atomic_load_explicit(&c->put, memory_order_acquire) - taken;
        if (length == 0 && leaving)
            return NULL;
        if (length == 0) { // whatever was posted before this wait is in the outbox now
            while (sem_wait(&c->news))
                continue;
            while (sem_trywait(&c->news) == 0)
                continue;
            continue;
        }
        size_t at = taken % OUTBOX_BYTES_MAX;
        size_t first = length < OUTBOX_BYTES_MAX - at ? length : OUTBOX_BYTES_MAX - at;
        struct iovec parts[] = {{c->outbox + at, first}, {c->outbox, length - first}};
        struct msghdr all = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = broken ? (ssize_t)length : sendmsg(c->fd, &all, MSG_NOSIGNAL);
        if (sent < 0) // the connection is broken: its ear hears the end, and the rest is left out
            shutdown(c->fd, SHUT_RDWR), broken = true;
        else
            atomic_store_explicit(&c->taken, taken + (size_t)sent, memory_order_release);
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
