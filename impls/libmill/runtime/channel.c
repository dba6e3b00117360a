// Channels and choose. chs and chr are a choose with one clause.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

TAILQ_HEAD(clause_list, clause);

struct mill_chan {
    size_t value_bytes;
    size_t items_max, items, first; // a ring
    int done; // after chdone: the value behind the ring is received forever
    struct clause_list senders, receivers;
    char ring[];
};

static void *item(chan channel, size_t index)
{
    return channel->ring + index * channel->value_bytes;
}

chan mill_chmake(size_t value_bytes, size_t items_max)
{
    if (value_bytes > MILL_VALUE_BYTES_MAX)
        panic("a channel's values are too large");
    chan channel = calloc(1, sizeof(*channel) + (items_max + 1) * value_bytes);
    if (!channel)
        return NULL;
    channel->value_bytes = value_bytes;
    channel->items_max = items_max;
    TAILQ_INIT(&channel->senders);
    TAILQ_INIT(&channel->receivers);
    return channel;
}

void mill_chclose(chan channel)
{
    if (!TAILQ_EMPTY(&channel->senders) || !TAILQ_EMPTY(&channel->receivers))
        panic("chclose on a channel that is waited for");
    free(channel);
}

// Completes the clause, which ends its choose.
static void fire(struct clause *clause)
{
    struct coroutine *owner = clause->owner;
    for (int i = 0; owner->waits && i < owner->clause_count; i++) {
        struct clause *each = &owner->clauses[i];
        struct clause_list *list =
            each->sends ? &each->channel->senders : &each->channel->receivers;
        TAILQ_REMOVE(list, each, waiting);
    }
    owner->waits = 0;
    ready(owner, clause->number);
}

static void enqueue(chan channel, const void *value)
{
    struct clause *receiver = TAILQ_FIRST(&channel->receivers);
    if (receiver) {
        memcpy(receiver->owner->value, value, channel->value_bytes);
        fire(receiver);
    } else {
        size_t last = (channel->first + channel->items++) % channel->items_max;
        memcpy(item(channel, last), value, channel->value_bytes);
    }
}

static void dequeue(chan channel, void *value)
{
    struct clause *sender = TAILQ_FIRST(&channel->senders);
    if (channel->items) {
        memcpy(value, item(channel, channel->first), channel->value_bytes);
        channel->first = (channel->first + 1) % channel->items_max;
        channel->items--;
        if (sender)
            enqueue(channel, sender->value);
    } else if (sender) {
        memcpy(value, sender->value, channel->value_bytes);
    } else {
        memcpy(value, item(channel, channel->items_max), channel->value_bytes);
    }
    if (sender)
        fire(sender);
}

void mill_chdone(chan channel, const void *value, size_t value_bytes)
{
    if (channel->done || !TAILQ_EMPTY(&channel->senders))
        panic("chdone on a channel that is done or sent to");
    if (value_bytes != channel->value_bytes)
        panic("chdone with a type that is not the channel's");
    channel->done = 1;
    memcpy(item(channel, channel->items_max), value, value_bytes);
    while (!TAILQ_EMPTY(&channel->receivers))
        enqueue(channel, value);
}

int mill_choose_begin(void)
{
    running->clause_count = 0;
    running->otherwise_number = 0;
    return 0;
}

static struct clause *add_clause(chan channel, size_t value_bytes)
{
    if (!channel)
        panic("a null channel is used");
    if (value_bytes != channel->value_bytes)
        panic("a type is used that is not the channel's");
    if (running->clause_count == CLAUSES_MAX)
        panic("a choose has too many clauses");
    struct clause *clause = &running->clauses[running->clause_count++];
    clause->owner = running;
    clause->channel = channel;
    clause->number = running->clause_count + (running->otherwise_number != 0);
    return clause;
}

int mill_choose_in(chan channel, size_t value_bytes)
{
    struct clause *clause = add_clause(channel, value_bytes);
    clause->sends = 0;
    clause->available = channel->done || channel->items || !TAILQ_EMPTY(&channel->senders);
    return 0;
}

int mill_choose_out(chan channel, const void *value, size_t value_bytes)
{
    struct clause *clause = add_clause(channel, value_bytes);
    if (channel->done)
        panic("a channel is sent to after chdone");
    clause->sends = 1;
    clause->available =
        channel->items < channel->items_max || !TAILQ_EMPTY(&channel->receivers);
    memcpy(clause->value, value, value_bytes);
    return 0;
}

int mill_choose_otherwise(void)
{
    if (running->otherwise_number)
        panic("a choose has two otherwise clauses");
    running->otherwise_number = running->clause_count + 1;
    return 0;
}

// Picks one of the clauses that can proceed now, uniformly at random.
static struct clause *pick(void)
{
    struct clause *picked = NULL;
    int seen = 0;
    for (int i = 0; i < running->clause_count; i++)
        if (running->clauses[i].available && random() % ++seen == 0)
            picked = &running->clauses[i];
    return picked;
}

int mill_choose_wait(void)
{
    struct clause *clause = pick();
    if (clause) {
        if (clause->sends)
            enqueue(clause->channel, clause->value);
        else
            dequeue(clause->channel, running->value);
        ready(running, clause->number);
    } else if (running->otherwise_number) {
        ready(running, running->otherwise_number);
    } else {
        for (int i = 0; i < running->clause_count; i++) {
            clause = &running->clauses[i];
            if (clause->sends)
                TAILQ_INSERT_TAIL(&clause->channel->senders, clause, waiting);
            else
                TAILQ_INSERT_TAIL(&clause->channel->receivers, clause, waiting);
        }
        running->waits = 1;
    }
    return suspend();
}

void *mill_choose_value(void)
{
    return running->value;
}

void mill_chs(chan channel, const void *value, size_t value_bytes)
{
    mill_choose_begin();
    mill_choose_out(channel, value, value_bytes);
    mill_choose_wait();
}

void *mill_chr(chan channel, size_t value_bytes)
{
    mill_choose_begin();
    mill_choose_in(channel, value_bytes);
    mill_choose_wait();
    return running->value;
}
