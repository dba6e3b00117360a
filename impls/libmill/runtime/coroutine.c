// Coroutines: stacks, the context switch, and the scheduling order.

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"

#define STACK_BYTES (64 * 1024)
#define GUARD_BYTES (16 * 1024) // at least a page, inaccessible, below the stack
#define SPARE_STACKS_MAX 64     // kept for new coroutines
#define SWITCHES_PER_POLL 100   // busy coroutines must not starve the descriptors

static struct coroutine main_coroutine = {.deadline = -1, .fd = -1};
struct coroutine *running = &main_coroutine;

static STAILQ_HEAD(, coroutine) ready_queue = STAILQ_HEAD_INITIALIZER(ready_queue);
static SLIST_HEAD(, coroutine) spares = SLIST_HEAD_INITIALIZER(spares);
static int spare_count;

volatile size_t mill_go_frame = 16;

// mill_switch(&from, to) pushes the callee-saved registers, saves the stack pointer, and
// resumes another stack that was saved in the same way, here or in mill_go.
//
// mill_go works the other way round: it saves the caller's stack, so that a later switch
// returns 0 from here. It then returns 1 to the same place at once, with all registers
// unchanged but on a new stack.
void mill_switch(void **from, void *to);

#if defined __x86_64__
__asm__(".text\n"
        ".globl mill_switch\n"
        ".type mill_switch, @function\n"
        "mill_switch:\n"
        "    push %rbx\n    push %rbp\n    push %r12\n"
        "    push %r13\n    push %r14\n    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n"
        "    pop %r12\n    pop %rbp\n    pop %rbx\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        ".globl mill_go\n"
        ".type mill_go, @function\n"
        "mill_go:\n"
        "    push %rbx\n    push %rbp\n    push %r12\n"
        "    push %r13\n    push %r14\n    push %r15\n"
        "    mov %rsp, %rdi\n"
        "    sub $8, %rsp\n" // the ABI's alignment
        "    call mill_spawn\n"
        "    mov 56(%rsp), %rdx\n" // return address
        "    mov %rax, %rsp\n"
        "    mov $1, %eax\n"
        "    jmp *%rdx\n"
        ".section .note.GNU-stack, \"\", @progbits\n"
        ".text\n");
#elif defined __aarch64__
__asm__(".text\n"
        ".macro mill_save\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp]\n    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n"
        ".endm\n"
        ".globl mill_switch\n"
        ".type mill_switch, %function\n"
        "mill_switch:\n"
        "    mill_save\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp]\n    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    mov w0, #0\n"
        "    ret\n"
        ".globl mill_go\n"
        ".type mill_go, %function\n"
        "mill_go:\n"
        "    mill_save\n"
        "    mov x0, sp\n"
        "    bl mill_spawn\n"
        "    ldr x30, [sp, #88]\n" // return address
        "    mov sp, x0\n"
        "    mov w0, #1\n"
        "    ret\n"
        ".section .note.GNU-stack, \"\", %progbits\n"
        ".text\n");
#else
#error "this runtime knows x86-64 and AArch64; install libmill for others"
#endif

void panic(const char *what)
{
    fprintf(stderr, "libmill runtime: %s\n", what);
    abort();
}

static void *mapping(struct coroutine *c)
{
    return (char *)(c + 1) - STACK_BYTES - GUARD_BYTES;
}

// The stack grows down from the coroutine's struct.
static struct coroutine *create(void)
{
    struct coroutine *c = SLIST_FIRST(&spares);
    if (c) {
        SLIST_REMOVE_HEAD(&spares, spare);
        spare_count--;
    } else {
        char *memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE) != 0)
            panic("no memory for a stack");
        c = (struct coroutine *)(memory + GUARD_BYTES + STACK_BYTES) - 1;
    }
    c->deadline = -1;
    c->fd = -1;
    return c;
}

// Called by mill_go; returns the top of the new stack.
__attribute__((used)) void *mill_spawn(void *parent_stack_pointer)
{
    running->stack_pointer = parent_stack_pointer;
    ready(running, 0);
    running = create();
    return (void *)((uintptr_t)running & ~(uintptr_t)63);
}

void mill_finish(void)
{
    // Its stack is in use until the switch, so if there are enough spares, free another one.
    struct coroutine *other = SLIST_FIRST(&spares);
    if (spare_count == SPARE_STACKS_MAX) {
        SLIST_REMOVE_HEAD(&spares, spare);
        munmap(mapping(other), GUARD_BYTES + STACK_BYTES);
        spare_count--;
    }
    SLIST_INSERT_HEAD(&spares, running, spare);
    spare_count++;
    suspend();
    panic("a finished coroutine was resumed");
}

void ready(struct coroutine *c, int result)
{
    c->result = result;
    STAILQ_INSERT_TAIL(&ready_queue, c, ready);
}

int suspend(void)
{
    static int switches;
    if (++switches == SWITCHES_PER_POLL) {
        switches = 0;
        poll_events(0);
    }
    while (STAILQ_EMPTY(&ready_queue))
        poll_events(1);
    struct coroutine *previous = running;
    running = STAILQ_FIRST(&ready_queue);
    STAILQ_REMOVE_HEAD(&ready_queue, ready);
    if (running != previous)
        mill_switch(&previous->stack_pointer, running->stack_pointer);
    return running->result;
}
