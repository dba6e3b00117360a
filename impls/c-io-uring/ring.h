// What the program asks of the kernel: the ring, the five kinds of request, and the pool of
// buffers. server.c is the only file that includes it.
#pragma once
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    POOL_BUFFERS = 256,      // for the bytes that arrive in one round, from all clients
    POOL_BUFFER_BYTES = 256, // each; all of them together fill a queue once
    REQUESTS_MAX = 1024,     // in the submission ring; submitted early when it is full
};

// The kernel returns it with the result, in the low bits of the pointer that goes with it.
enum request { ACCEPT, PAUSE, RECEIVE, SEND, REQUEST_MASK = 3 };

static struct io_uring ring;
static _Alignas(4096) struct io_uring_buf pool[POOL_BUFFERS]; // what the kernel may take
static unsigned char pool_bytes[POOL_BUFFERS][POOL_BUFFER_BYTES];

static struct io_uring_sqe *request(enum request what, void *whose) {
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&ring)))
        io_uring_submit(&ring); // the ring is full
    sqe->user_data = (uintptr_t)whose | what; // io_uring_prep_… sets all but this
    return sqe;
}

static enum request request_of(const struct io_uring_cqe *result) {
    return result->user_data & REQUEST_MASK;
}

static void *whose(const struct io_uring_cqe *result) {
    return (void *)(uintptr_t)(result->user_data & ~(uint64_t)REQUEST_MASK);
}

// One result for each connection, until a result says that there will be no more.
static void request_accept(int listener) {
    io_uring_prep_multishot_accept(request(ACCEPT, NULL), listener, NULL, NULL, SOCK_CLOEXEC);
}

static void request_pause(struct __kernel_timespec *duration) {
    io_uring_prep_timeout(request(PAUSE, NULL), duration, 0, 0);
}

// One result for each arrival of bytes, for which the kernel takes a buffer from the pool.
static void request_receive(void *whose, int socket) {
    struct io_uring_sqe *sqe = request(RECEIVE, whose);
    io_uring_prep_recv_multishot(sqe, socket, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
}

static void request_send(void *whose, int socket, const void *bytes, size_t length) {
    io_uring_prep_send(request(SEND, whose), socket, bytes, length, MSG_NOSIGNAL | MSG_WAITALL);
}

static unsigned buffer_of(const struct io_uring_cqe *result) {
    return result->flags >> IORING_CQE_BUFFER_SHIFT;
}

static void return_to_pool(unsigned buffer) {
    struct io_uring_buf_ring *all = (struct io_uring_buf_ring *)pool;
    int mask = io_uring_buf_ring_mask(POOL_BUFFERS);
    io_uring_buf_ring_add(all, pool_bytes[buffer], POOL_BUFFER_BYTES, (unsigned short)buffer, mask,
                          0);
    io_uring_buf_ring_advance(all, 1);
}

// Returns a negative errno if the kernel does not play along.
static int set_up_ring(void) {
    // Results are made when this thread asks for them, and on no other occasion.
    unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    struct io_uring_buf_reg all = {.ring_addr = (uintptr_t)pool, .ring_entries = POOL_BUFFERS};
    int error = io_uring_queue_init(REQUESTS_MAX, &ring, flags);
    if (!error)
        error = io_uring_register_buf_ring(&ring, &all, 0);
    for (unsigned buffer = 0; !error && buffer < POOL_BUFFERS; buffer++)
        return_to_pool(buffer);
    return error;
}
