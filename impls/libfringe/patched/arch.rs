//! The context switch: the part of fringe that is rewritten, in the inline assembly of
//! stable Rust. Its three items have fringe's names and semantics.
//!
//! A suspended context is a *frame* on its own stack, identified by the frame's address:
//!
//! ```text
//!   +56  return address         where `switch` jumps to resume the context
//!   +48  rbp
//!   +40  rbx
//!   +32  r12                    the callee-saved registers
//!   +24  r13                    of the System V ABI
//!   +16  r14
//!    +8  r15
//!    +0  mxcsr, x87 control word
//! ```
//!
//! At the top of a stack are two more words: the context's function, and below it the
//! *link*, the frame that last switched to this stack. Only the unwinder uses the link: a
//! panic that leaves the function continues at the linked frame.

use core::arch::{asm, naked_asm};
use stack::Stack;

#[cfg(not(all(target_arch = "x86_64", unix)))]
compile_error!("fringe's context switch is written for x86_64 with the System V ABI only");

/// Minimum alignment of a stack's base.
pub const STACK_ALIGNMENT: usize = 16;

/// A suspended context: the address of its frame.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct StackPointer(*mut usize);

const FRAME_WORDS: usize = 8;

/// The result of a switch: a value, and the context that it came from.
#[repr(C)]
struct Delivery {
    value: usize,
    from: StackPointer,
}

/// Lays out a stack so that the first switch to it calls `f` with the value
/// switched with and the context switched from.
pub unsafe fn init(
    stack: &dyn Stack,
    f: unsafe extern "C-unwind" fn(usize, StackPointer) -> !,
) -> StackPointer {
    let link = link(stack);
    *link.add(1) = f as usize;
    *link = 0;

    let frame = link.sub(FRAME_WORDS);
    *frame.add(7) = entry as usize;
    *frame.add(6) = link as usize; // rbp
    for register in 1..6 {
        *frame.add(register) = 0;
    }
    // The new context starts with its creator's floating-point modes.
    asm!("stmxcsr [{0}]", "fnstcw [{0} + 4]", in(reg) frame, options(nostack));
    StackPointer(frame)
}

/// Suspends the running context and resumes `new_sp`, which receives `arg`. Returns the
/// result of the switch back. With `new_stack`, a panic that leaves the
/// other context's function unwinds into the caller.
#[inline(always)]
pub unsafe fn swap(
    arg: usize,
    new_sp: StackPointer,
    new_stack: Option<&dyn Stack>,
) -> (usize, StackPointer) {
    let mut nobody = 0;
    let link = match new_stack {
        Some(stack) => link(stack),
        None => &mut nobody,
    };
    let Delivery { value, from } = switch(arg, new_sp, link);
    (value, from)
}

/// The address of a stack's link. An unaligned base, such as a slice's, is rounded.
#[inline(always)]
fn link(stack: &dyn Stack) -> *mut usize {
    let base = stack.base();
    let excess = base as usize % STACK_ALIGNMENT;
    base.wrapping_sub(excess).cast::<usize>().wrapping_sub(2)
}

/// Makes a frame, writes its address to `link`, and resumes the frame `to`. To the compiler
/// it is an ordinary call that may unwind, which inline assembly may not.
#[unsafe(naked)]
unsafe extern "C-unwind" fn switch(arg: usize, to: StackPointer, link: *mut usize) -> Delivery {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbp, 0",
        "push rbx",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbx, 0",
        "push r12",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r12, 0",
        "push r13",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r13, 0",
        "push r14",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r14, 0",
        "push r15",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r15, 0",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdx], rsp",
        // The other context finds value and sender in rax and rdx where it returns from
        // `switch`, in rdi and rsi where `entry` passes them on to its function.
        "mov rax, rdi",
        "mov rdx, rsp",
        // From here on rsp is in the other context's frame, which looks the same.
        "mov rsp, rsi",
        "mov rsi, rdx",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "pop r15",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore r15",
        "pop r14",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore r14",
        "pop r13",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore r13",
        "pop r12",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore r12",
        "pop rbx",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore rbx",
        "pop rbp",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore rbp",
        // Not `ret`: the CPU would predict a return to this context's own caller.
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_register rip, rcx",
        "jmp rcx",
        ".cfi_endproc",
    )
}

/// Where a new context starts: calls its function with what `switch` left in rdi and
/// rsi. rbp holds the address of the link; callees preserve it.
///
/// To the unwinder this is the linked frame: `.cfi_escape` says that the canonical frame
/// address is what rbp points to plus the size of a frame (DW_CFA_def_cfa_expression:
/// DW_OP_breg6 0, DW_OP_deref, DW_OP_plus_uconst 64), and the offsets say where `switch`
/// put the registers.
#[unsafe(naked)]
unsafe extern "C-unwind" fn entry() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_escape 0x0f, 5, 0x76, 0, 0x06, 0x23, 64",
        ".cfi_offset rbp, -16",
        ".cfi_offset rbx, -24",
        ".cfi_offset r12, -32",
        ".cfi_offset r13, -40",
        ".cfi_offset r14, -48",
        ".cfi_offset r15, -56",
        "call [rbp + 8]",
        // The function does not return.
        "ud2",
        ".cfi_endproc",
    )
}
