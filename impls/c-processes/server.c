// Processes: two for each client, which share one thing, a ring of messages in memory.
//
// The idea: the kernel isolates. A process blocks, computes, leaks or crashes for itself, and
// what it holds is given back when it ends. So there are no events here and almost no lists:
// main() accepts and forks, and each process is one loop of blocking calls.
//
//     main -- fork --> hear -- append --> ring, in shared memory --> take: speak <-- fork -- hear
//
// How a message flows. hear() reads what its client has sent, and append() copies the complete
// frames into the ring while it holds a mutex that works between processes: this is the
// sequencing point. Then it rings a bell, a futex for which every speak() sleeps that has had all.
// take() copies from the ring without the mutex, and looks afterwards whether it was overtaken.
//
// The ring is overwritten again and again. A client that reads too slowly is overtaken, and
// continues at the newest message.
//
// Shortcut: take() may copy bytes while they change, and throws them away then. Each has the value
// that it had before or after, on any machine, but the language does not promise it.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RING_BYTES = 1024 * 1024,    // of the newest messages; a power of two
    READ_BYTES_MAX = 16 * 1024,  // appended at once
    CHUNK_BYTES_MAX = 64 * 1024, // taken at once, and being written to one client
    FRAME_BYTES_MAX = 1 + 255,   // the length byte and the body
    LISTEN_BACKLOG = 1024,       // connections queued in the kernel
    RETRY_PAUSE_US = 100 * 1000, // when processes or memory have run out
};

// Positions count all bytes that were ever appended.
static struct room {
    pthread_mutex_t turn;     // whose it is to append
    _Atomic uint64_t claimed; // from RING_BYTES before here on, bytes are what they were
    _Atomic uint64_t head;    // up to here there are messages
    _Atomic uint32_t bell;    // counts reasons to look again
    unsigned char ring[RING_BYTES];
} * room;

// What the two processes of a client share.
struct seat {
    _Atomic uint64_t end; // the position at which speak() ends
};

static int listen_on(const char *address);
static void *share(size_t size);
static void make_mutex(pthread_mutex_t *mutex);
static pid_t spawn(void);
static void hear(int fd, uint64_t position);

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "server: %s: %s\n", what, why);
    exit(1);
}

int main(int argc, char *argv[]) {
    if (argc != 2)
        fail("usage", "server HOST:PORT");
    signal(SIGCHLD, SIG_IGN); // nobody waits for those that have ended
    int listener = listen_on(argv[1]);
    room = share(sizeof *room);
    if (room == MAP_FAILED)
        fail("cannot share memory", strerror(errno));
    make_mutex(&room->turn);
    if (printf("listening on %s\n", argv[1]) < 0 || fflush(stdout))
        fail("cannot write to standard output", strerror(errno));
    for (bool failed = false;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        uint64_t position = room->head; // the client receives what is appended from now on
        pid_t child = fd < 0 ? -1 : spawn();
        if (child == 0) {
            close(listener);
            hear(fd, position);
        }
        if (child < 0 && !failed)
            perror("server: cannot serve a client");
        failed = child < 0;
        close(fd); // it is the child's
        if (failed)
            usleep(RETRY_PAUSE_US);
    }
}

// Returns 0 in the new process, which does not outlive this one.
static pid_t spawn(void) {
    pid_t parent = getpid(), child = fork();
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
        _exit(1);
    return child;
}

static void *share(size_t size) {
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void make_mutex(pthread_mutex_t *mutex) {
    pthread_mutexattr_t between_processes;
    pthread_mutexattr_init(&between_processes);
    pthread_mutexattr_setpshared(&between_processes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&between_processes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &between_processes);
}

static void ring_bell(void) {
    room->bell++;
    syscall(SYS_futex, &room->bell, FUTEX_WAKE, INT_MAX);
}

// Sleeps, unless the bell has rung since it had rung so often.
static void await_bell(uint32_t rung) {
    syscall(SYS_futex, &room->bell, FUTEX_WAIT, rung, NULL);
}

// The sequencing point. A process that is killed in it leaves nothing behind: what it had
// copied is no message until `head` says so.
static void append(const unsigned char *frames, size_t length) {
    if (pthread_mutex_lock(&room->turn) == EOWNERDEAD)
        pthread_mutex_consistent(&room->turn);
    uint64_t head = room->head;
    size_t at = head % RING_BYTES, straight = MIN(length, RING_BYTES - at);
    room->claimed = MAX(room->claimed, head + length);
    atomic_thread_fence(memory_order_seq_cst); // before any byte changes
    memcpy(room->ring + at, frames, straight);
    memcpy(room->ring, frames + straight, length - straight);
    room->head = head + length;
    pthread_mutex_unlock(&room->turn);
    ring_bell();
}

// The length of the complete frames at the start of `bytes`.
static size_t whole_frames(const unsigned char *bytes, size_t length) {
    size_t end = 0;
    while (end < length && end + bytes[end] < length)
        end += 1u + bytes[end];
    return end;
}

// Copies complete frames; returns how many bytes.
static size_t take(uint64_t *position, unsigned char *chunk) {
    uint64_t head = room->head;
    size_t length = MIN(head - *position, CHUNK_BYTES_MAX);
    size_t at = *position % RING_BYTES, straight = MIN(length, RING_BYTES - at);
    memcpy(chunk, room->ring + at, straight);
    memcpy(chunk + straight, room->ring, length - straight);
    atomic_thread_fence(memory_order_seq_cst);
    if (room->claimed - *position > RING_BYTES) {
        *position = head; // it misses what is before
        return 0;
    }
    length = whole_frames(chunk, length);
    *position += length;
    return length;
}

static _Noreturn void speak(int fd, uint64_t position, const struct seat *seat) {
    static unsigned char chunk[CHUNK_BYTES_MAX];
    for (;;) {
        uint32_t rung = room->bell;
        size_t length = take(&position, chunk), sent = 0;
        while (sent < length) {
            ssize_t more = send(fd, chunk + sent, length - sent, MSG_NOSIGNAL);
            if (more < 0)
                _exit(0); // a reset: hear() takes what the client has sent before
            sent += (size_t)more;
        }
        if (length == 0 && position >= seat->end)
            _exit(0);
        if (length == 0 && position == room->head)
            await_bell(rung);
    }
}

static void read_frames(int fd) {
    static unsigned char buffer[FRAME_BYTES_MAX + READ_BYTES_MAX];
    size_t partial = 0; // bytes of an incomplete frame, at the start of the buffer
    ssize_t received;
    while ((received = recv(fd, buffer + partial, READ_BYTES_MAX, 0)) > 0) {
        size_t length = partial + (size_t)received, whole = whole_frames(buffer, length);
        partial = length - whole;
        if (whole > 0)
            append(buffer, whole);
        else // acknowledge at once: Nagle's algorithm may hold the rest back until then
            setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
        memmove(buffer, buffer + whole, partial);
    }
}

static _Noreturn void hear(int fd, uint64_t position) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct seat *seat = share(sizeof *seat);
    if (seat == MAP_FAILED)
        _exit(1);
    seat->end = UINT64_MAX;
    pid_t speaker = spawn();
    if (speaker == 0)
        speak(fd, position, seat);
    if (speaker > 0)
        read_frames(fd);
    seat->end = room->head;
    ring_bell();
    waitpid(speaker, NULL, 0);
    _exit(0);
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
