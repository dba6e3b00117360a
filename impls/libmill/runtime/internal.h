// What the parts of the runtime know of each other.
#ifndef INTERNAL_H_INCLUDED
#define INTERNAL_H_INCLUDED

#include <stdint.h>
#include <sys/queue.h>

#include "libmill.h"

// The header's short names are for programs.
#undef coroutine
#undef in
#undef out
#undef end

#define CLAUSES_MAX 4

// One clause of a choose, also while it stands in a channel's list of those that wait.
struct clause {
    struct coroutine *owner;
    chan channel;
    int number; // counted from 1, as in the text of the choose
    int sends;
    int available;
    TAILQ_ENTRY(clause) waiting;
    _Alignas(16) char value[MILL_VALUE_BYTES_MAX]; // what it sends
};

struct coroutine {
    void *stack_pointer;                // while it does not run
    STAILQ_ENTRY(coroutine) ready;      // while it is about to run
    LIST_ENTRY(coroutine) timer;        // while it has a deadline
    SLIST_ENTRY(coroutine) spare;       // when it has finished
    int result;                         // of what it waited for
    int64_t deadline;                   // -1: none
    int fd;                             // -1: none
    struct clause clauses[CLAUSES_MAX]; // of its choose
    int clause_count;                   // registered, `otherwise` included
    int otherwise_number;               // 0: none
    int waits;                          // its clauses stand in their channels' lists
    _Alignas(16) char value[MILL_VALUE_BYTES_MAX]; // received last
};

extern struct coroutine *running;

// Makes it run when its turn comes; what it waited for then returns the result.
void ready(struct coroutine *c, int result);
// Lets others run until somebody makes the running one ready.
int suspend(void);
// Prints one line and aborts: the program is wrong.
void panic(const char *what) __attribute__((noreturn));

// Makes those ready whose descriptor or time has come; waits for one of them if asked.
void poll_events(int wait);

enum { FD_READABLE = 1, FD_WRITABLE = 2, FD_FAILED = 4 };
// Waits for the descriptor: returns some of the above, 0 when the deadline is over.
int wait_for_fd(int fd, int events, int64_t deadline);
// To be called before a descriptor is closed.
void forget_fd(int fd);

#endif
