// Waiting for descriptors and deadlines, on epoll.

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "internal.h"

#define EVENTS_PER_POLL 128

// An interest stays registered with epoll after the wait, since the next wait is usually
// for the same event. It is removed when an event arrives that no coroutine waits for.
struct descriptor {
    struct coroutine *reader, *writer; // the waiting coroutines
    uint32_t registered;               // with epoll: EPOLLIN, EPOLLOUT, or 0 for none
};

static int epoll_fd = -1;
static struct descriptor *descriptors;
static int descriptor_count;
static LIST_HEAD(, coroutine) timers = LIST_HEAD_INITIALIZER(timers); // the earliest first

int64_t mill_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static struct descriptor *descriptor(int fd)
{
    if (fd >= descriptor_count) {
        int count = 2 * fd + 64;
        descriptors = realloc(descriptors, count * sizeof(*descriptors));
        if (!descriptors)
            panic("no memory for a descriptor");
        memset(descriptors + descriptor_count, 0,
               (count - descriptor_count) * sizeof(*descriptors));
        descriptor_count = count;
    }
    return &descriptors[fd];
}

static void open_epoll(void)
{
    if (epoll_fd == -1)
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd == -1)
        panic("no descriptor for epoll");
}

static void tell(int fd, uint32_t events)
{
    struct descriptor *d = descriptor(fd);
    int operation = !events ? EPOLL_CTL_DEL : d->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (events != d->registered && epoll_ctl(epoll_fd, operation, fd, &event) != 0)
        panic("a descriptor cannot be waited for");
    d->registered = events;
}

static void start_timer(struct coroutine *c)
{
    struct coroutine *each, *last = NULL;
    LIST_FOREACH(each, &timers, timer) {
        if (each->deadline > c->deadline)
            break;
        last = each;
    }
    if (last)
        LIST_INSERT_AFTER(last, c, timer);
    else
        LIST_INSERT_HEAD(&timers, c, timer);
}

// Ends the wait of a coroutine, with these events or none.
static void wake(struct coroutine *c, int events)
{
    if (c->deadline >= 0)
        LIST_REMOVE(c, timer);
    if (c->fd >= 0) {
        struct descriptor *d = descriptor(c->fd);
        if (d->reader == c)
            d->reader = NULL;
        if (d->writer == c)
            d->writer = NULL;
    }
    c->deadline = -1;
    c->fd = -1;
    ready(c, events);
}

int mill_fdwait(int fd, int events, int64_t deadline)
{
    open_epoll();
    running->fd = fd;
    running->deadline = deadline;
    if (fd >= 0) {
        struct descriptor *d = descriptor(fd);
        if ((events & FDW_IN && d->reader) || (events & FDW_OUT && d->writer))
            panic("two coroutines wait for one descriptor");
        if (events & FDW_IN)
            d->reader = running;
        if (events & FDW_OUT)
            d->writer = running;
        tell(fd, d->registered | (d->reader ? EPOLLIN : 0) | (d->writer ? EPOLLOUT : 0));
    }
    if (deadline >= 0)
        start_timer(running);
    return suspend();
}

void forget_fd(int fd)
{
    if (descriptor(fd)->reader || descriptor(fd)->writer)
        panic("a descriptor is closed while a coroutine waits for it");
    tell(fd, 0);
}

void mill_msleep(int64_t deadline)
{
    mill_fdwait(-1, 0, deadline < 0 ? INT64_MAX : deadline);
}

static void handle(const struct epoll_event *event)
{
    struct descriptor *d = descriptor(event->data.fd);
    int failed = event->events & (EPOLLERR | EPOLLHUP) ? FDW_ERR : 0;
    int readable = event->events & EPOLLIN ? FDW_IN : 0;
    int writable = event->events & EPOLLOUT ? FDW_OUT : 0;
    struct coroutine *reader = readable | failed ? d->reader : NULL;
    struct coroutine *writer = writable | failed ? d->writer : NULL;

    if (reader && reader == writer) {
        wake(reader, readable | writable | failed);
    } else {
        if (reader)
            wake(reader, readable | failed);
        if (writer)
            wake(writer, writable | failed);
    }
    uint32_t unwanted = (reader ? 0 : event->events & EPOLLIN) |
                        (writer ? 0 : event->events & EPOLLOUT);
    if (failed && !reader && !writer)
        unwanted = d->registered;
    tell(event->data.fd, d->registered & ~unwanted);
}

static int timeout_ms(void)
{
    if (LIST_EMPTY(&timers))
        return -1;
    int64_t rest = LIST_FIRST(&timers)->deadline - mill_now();
    return rest < 0 ? 0 : rest > 60000 ? 60000 : (int)rest;
}

void poll_events(int wait)
{
    struct epoll_event events[EVENTS_PER_POLL];
    open_epoll();
    int count = epoll_wait(epoll_fd, events, EVENTS_PER_POLL, wait ? timeout_ms() : 0);
    for (int i = 0; i < count; i++)
        handle(&events[i]);
    while (!LIST_EMPTY(&timers) && LIST_FIRST(&timers)->deadline <= mill_now())
        wake(LIST_FIRST(&timers), 0);
}
