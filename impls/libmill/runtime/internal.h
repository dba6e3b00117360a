// The interfaces between the parts of the runtime.
#ifndef INTERNAL_H_INCLUDED
#define INTERNAL_H_INCLUDED

#include <stdint.h>
#include <sys/queue.h>

#include "libmill.h"

// The header's short names are for programs only.
#undef coroutine
#undef in
#undef out
#undef end

#define CLAUSES_MAX 4

// One clause of a choose; while it waits, it is in a channel's wait list.
struct clause {
    struct coroutine *owner;
    chan channel;
    int number; // from 1, in source order
    int sends;
    int available;
    TAILQ_ENTRY(clause) waiting;
    _Alignas(16) char value[MILL_VALUE_BYTES_MAX]; // the value it sends
};

struct coroutine {
    void *stack_pointer;                // while it is suspended
    STAILQ_ENTRY(coroutine) ready;      // while it is in the ready queue
    LIST_ENTRY(coroutine) timer;        // while it has a deadline
    SLIST_ENTRY(coroutine) spare;       // after it has finished
    int result;                         // of its last wait
    int64_t deadline;                   // -1: none
    int fd;                             // -1: none
    struct clause clauses[CLAUSES_MAX]; // of its choose
    int clause_count;                   // registered, `otherwise` included
    int otherwise_number;               // 0: none
    int waits;                          // its clauses are in their channels' wait lists
    _Alignas(16) char value[MILL_VALUE_BYTES_MAX]; // the last value received
};

extern struct coroutine *running;

// Puts the coroutine into the ready queue; its pending wait returns the result.
void ready(struct coroutine *c, int result);
// Suspends the running coroutine until ready() is called for it; returns the result.
int suspend(void);
// Prints one line and aborts: the program has a bug.
void panic(const char *what) __attribute__((noreturn));

// Readies the coroutines whose descriptor or deadline is due; waits for one if `wait`.
void poll_events(int wait);

// Must be called before a descriptor is closed.
void forget_fd(int fd);

#endif
