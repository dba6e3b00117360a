// The part of libmill's interface (http://libmill.org, version 1.18) that server.c
// uses, with the same semantics, for machines without the library. The files beside it
// implement it; none of the code comes from libmill itself.
//
// It keeps libmill's guarantees: coroutines share one thread and switch only where one
// of them waits, chooses or finishes; go() runs the new coroutine at once; deadlines are
// in milliseconds of now(), and -1 means never; errno is 0 after success.
#ifndef LIBMILL_H_INCLUDED
#define LIBMILL_H_INCLUDED

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

// Coroutines

#define coroutine __attribute__((noinline))

// Evaluates the call, including its arguments, on a new stack. The array's size is
// unknown to the compiler, which forces it to address the caller's variables through the
// frame pointer; that pointer is the same on both stacks.
#define go(call)                                    \
    do {                                            \
        char mill_frame[mill_go_frame];             \
        (void)mill_frame;                           \
        if (mill_go()) {                            \
            call;                                   \
            mill_finish();                          \
        }                                           \
    } while (0)

extern volatile size_t mill_go_frame;
int mill_go(void) __attribute__((returns_twice));
void mill_finish(void) __attribute__((noreturn));

#define now mill_now
#define msleep mill_msleep
int64_t mill_now(void);
void mill_msleep(int64_t deadline);

// Waiting for a descriptor: returns the events, or 0 once the deadline has passed.

#define FDW_IN 1
#define FDW_OUT 2
#define FDW_ERR 4

#define fdwait mill_fdwait
int mill_fdwait(int fd, int events, int64_t deadline);

// Channels. A value has at most MILL_VALUE_BYTES_MAX bytes here.

#define MILL_VALUE_BYTES_MAX 128

typedef struct mill_chan *chan;

#define chmake(type, items_max) mill_chmake(sizeof(type), (items_max))
#define chclose mill_chclose
#define chr(channel, type) (*(type *)mill_chr((channel), sizeof(type)))
#define chs(channel, type, value) mill_value_call(mill_chs, channel, type, value)
#define chdone(channel, type, value) mill_value_call(mill_chdone, channel, type, value)
#define mill_value_call(function, channel, type, value)       \
    do {                                                      \
        type mill_value = (value);                            \
        function((channel), &mill_value, sizeof(mill_value)); \
    } while (0)

chan mill_chmake(size_t value_bytes, size_t items_max);
void mill_chclose(chan channel);
void mill_chs(chan channel, const void *value, size_t value_bytes);
void *mill_chr(chan channel, size_t value_bytes);
void mill_chdone(chan channel, const void *value, size_t value_bytes);

// choose { in(channel, type, name): …  out(channel, type, value): …  otherwise: …  end }
//
// The block runs twice. The first time every clause only registers itself and `end`
// waits for one of them; the second time the clause with that number runs its body.
// Each clause closes the block of the one before; `switch (0) default` takes the colon.
#define choose                                        \
    for (int mill_chosen = mill_choose_begin(), mill_number = 0;;) { \
        if (0) {                                      \
            switch (0)
#define mill_clause(registration)                     \
                ;                                     \
            }                                         \
        }                                             \
        if (mill_chosen ? ++mill_number == mill_chosen : registration) {
#define in(channel, type, name)                       \
        mill_clause(mill_choose_in((channel), sizeof(type))) \
            type name = *(type *)mill_choose_value(); \
            switch (0) {                              \
            default
#define out(channel, type, value)                     \
        mill_clause(({                                \
            type mill_value = (value);                \
            mill_choose_out((channel), &mill_value, sizeof(mill_value)); \
        }))                                           \
            switch (0) {                              \
            default
#define otherwise                                     \
        mill_clause(mill_choose_otherwise())          \
            switch (0) {                              \
            default
#define end                                           \
                ;                                     \
            }                                         \
        }                                             \
        if (mill_chosen)                              \
            break;                                    \
        mill_chosen = mill_choose_wait();

int mill_choose_begin(void);
int mill_choose_in(chan channel, size_t value_bytes);
int mill_choose_out(chan channel, const void *value, size_t value_bytes);
int mill_choose_otherwise(void);
int mill_choose_wait(void);
void *mill_choose_value(void);

// TCP. A name is a literal address here, not an interface.

#define IPADDR_IPV4 1
#define IPADDR_IPV6 2

typedef struct mill_ipaddr {
    char data[32];
} ipaddr;
typedef struct mill_tcpsock *tcpsock;

#define iplocal mill_iplocal
#define tcplisten mill_tcplisten
#define tcpaccept mill_tcpaccept
#define tcpsend mill_tcpsend
#define tcpflush mill_tcpflush
#define tcprecv mill_tcprecv
#define tcpclose mill_tcpclose

ipaddr mill_iplocal(const char *name, int port, int mode);
tcpsock mill_tcplisten(ipaddr address, int backlog);
tcpsock mill_tcpaccept(tcpsock listener, int64_t deadline);
size_t mill_tcpsend(tcpsock socket, const void *bytes, size_t length, int64_t deadline);
void mill_tcpflush(tcpsock socket, int64_t deadline);
size_t mill_tcprecv(tcpsock socket, void *bytes, size_t length, int64_t deadline);
void mill_tcpclose(tcpsock socket);

#endif
