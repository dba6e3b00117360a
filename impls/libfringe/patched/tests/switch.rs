//! Properties of the context switch that users rely on, beyond fringe's own tests.

extern crate fringe;

use fringe::generator::Yielder;
use fringe::{Generator, OsStack};
use std::arch::asm;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

fn stack() -> OsStack {
    OsStack::new(256 << 10).unwrap()
}

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn values_move_in_and_out_and_are_dropped_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let mut echo =
        Generator::new(stack(), |yielder: &mut Yielder<_, _>, mut value: Dropped| loop {
            value = yielder.suspend(value);
            if Arc::strong_count(&value.0) > 2 {
                return;
            }
        });
    for round in 0..100 {
        drop(echo.resume(Dropped(drops.clone())).unwrap());
        assert_eq!(drops.load(Ordering::SeqCst), round + 1);
    }
    let third = drops.clone();
    assert!(echo.resume(Dropped(drops.clone())).is_none());
    assert_eq!(third.load(Ordering::SeqCst), 101);
    assert!(echo.resume(Dropped(drops.clone())).is_none(), "a finished generator stays finished");
    assert_eq!(third.load(Ordering::SeqCst), 102);
}

#[test]
fn large_values_survive_the_switch() {
    let mut reverse =
        Generator::new(stack(), |yielder: &mut Yielder<_, _>, mut block: [u8; 1000]| loop {
            block.reverse();
            block = yielder.suspend(block);
        });
    let mut block = [0; 1000];
    for (index, byte) in block.iter_mut().enumerate() {
        *byte = index as u8;
    }
    let mut expected = block;
    expected.reverse();
    assert_eq!(reverse.resume(block), Some(expected));
    assert_eq!(reverse.resume(expected), Some(block));
}

#[test]
fn a_panic_unwinds_the_generator_and_then_whoever_resumed_it_last() {
    let drops = Arc::new(AtomicUsize::new(0));
    let inner = drops.clone();
    let mut fails = Generator::new(stack(), move |yielder, ()| {
        let _inside = Dropped(inner);
        yielder.suspend(());
        panic!("from inside");
    });
    assert!(fails.resume(()).is_some());

    // Resumed the second time from another, deeper frame than the first.
    let outer = drops.clone();
    let caught = panic::catch_unwind(AssertUnwindSafe(|| {
        let _outside = Dropped(outer);
        fails.resume(())
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "from inside");
    assert_eq!(drops.load(Ordering::SeqCst), 2, "both frames were unwound");
    assert!(fails.resume(()).is_none(), "a generator that panicked is finished");
    drop(fails.unwrap());
}

#[test]
fn a_panic_may_be_caught_inside_the_generator() {
    let mut careful = Generator::new(stack(), |yielder, ()| loop {
        let caught = panic::catch_unwind(|| panic!("inside"));
        yielder.suspend(caught.is_err());
    });
    assert_eq!(careful.resume(()), Some(true));
    assert_eq!(careful.resume(()), Some(true));
}

#[test]
fn a_panic_passes_through_nested_generators() {
    let mut outer = Generator::new(stack(), |yielder, ()| {
        let mut inner = Generator::new(stack(), |yielder, ()| {
            yielder.suspend(1);
            panic!("innermost");
        });
        yielder.suspend(inner.resume(()));
        yielder.suspend(inner.resume(()));
    });
    assert_eq!(outer.resume(()), Some(Some(1)));
    let caught = panic::catch_unwind(AssertUnwindSafe(|| outer.resume(())));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "innermost");
}

#[test]
fn dropping_an_unfinished_generator_frees_its_stack_and_unwinds_nothing() {
    let drops = Arc::new(AtomicUsize::new(0));
    let inner = drops.clone();
    let mut unfinished = Generator::new(stack(), move |yielder, ()| {
        let _held = Dropped(inner);
        yielder.suspend(());
    });
    assert!(unfinished.resume(()).is_some());
    drop(unfinished);
    assert_eq!(drops.load(Ordering::SeqCst), 0);
}

#[test]
#[should_panic]
fn the_stack_of_an_unfinished_generator_cannot_be_taken() {
    let generator = Generator::<(), (), _>::new(stack(), |yielder, ()| yielder.suspend(()));
    generator.unwrap();
}

#[test]
fn a_stack_can_be_used_again() {
    let mut free = stack();
    for round in 0..1000 {
        let mut generator = Generator::new(free, move |yielder, ()| yielder.suspend(round));
        assert_eq!(generator.next(), Some(round));
        assert_eq!(generator.next(), None);
        free = generator.unwrap();
    }
}

#[test]
fn many_generators_keep_their_own_state() {
    let mut generators: Vec<_> = (0..1000u64)
        .map(|seed| {
            Generator::new(OsStack::new(0).unwrap(), move |yielder, ()| {
                // More live values than there are registers.
                let mut state = [seed; 16];
                loop {
                    for (index, word) in state.iter_mut().enumerate() {
                        *word = word.wrapping_mul(31).wrapping_add(index as u64);
                    }
                    yielder.suspend(state.iter().fold(0, |a, b| a ^ b));
                }
            })
        })
        .collect();
    let first: Vec<u64> = generators.iter_mut().map(|g| g.next().unwrap()).collect();
    let second: Vec<u64> = generators.iter_mut().rev().map(|g| g.next().unwrap()).collect();
    for (seed, (first, second)) in first.iter().zip(second.iter().rev()).enumerate() {
        let mut state = [seed as u64; 16];
        for expected in [first, second].iter() {
            for (index, word) in state.iter_mut().enumerate() {
                *word = word.wrapping_mul(31).wrapping_add(index as u64);
            }
            assert_eq!(**expected, state.iter().fold(0, |a, b| a ^ b));
        }
    }
}

#[test]
fn registers_that_a_call_preserves_are_preserved() {
    let mut spoiler = Generator::new(stack(), |yielder, ()| loop {
        unsafe {
            asm!(
                "mov r12, -1", "mov r13, -1", "mov r14, -1", "mov r15, -1",
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            );
        }
        yielder.suspend(());
    });
    for round in 0..10usize {
        let (a, b, c, d) = (Cell::new(round), round + 1, round + 2, round + 3);
        assert!(spoiler.next().is_some());
        let held: [usize; 4] = [a.get(), b, c, d];
        assert_eq!(held, [round, round + 1, round + 2, round + 3]);
    }
}

#[test]
fn floating_point_modes_belong_to_the_context_that_set_them() {
    /// Rounding of the vector unit and of the x87 unit.
    fn modes() -> (u32, u16) {
        let (mut vector, mut x87) = (0u32, 0u16);
        unsafe { asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &mut vector, in(reg) &mut x87) };
        (vector & 0x6000, x87 & 0x0c00)
    }
    fn round_down() {
        let (mut vector, mut x87) = (0u32, 0u16);
        unsafe {
            asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &mut vector, in(reg) &mut x87);
            vector = vector & !0x6000 | 0x2000;
            x87 = x87 & !0x0c00 | 0x0400;
            asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &vector, in(reg) &x87);
        }
    }
    let usual = modes();
    let mut other = Generator::new(stack(), |yielder, ()| {
        yielder.suspend(modes());
        round_down();
        yielder.suspend(modes());
        yielder.suspend(modes());
    });
    assert_eq!(other.next(), Some(usual), "a context starts with its creator's modes");
    let changed = other.next().unwrap();
    assert_ne!(changed, usual);
    assert_eq!(modes(), usual);
    assert_eq!(other.next(), Some(changed));
    assert_eq!(modes(), usual);
}

#[test]
fn sums_of_floating_point_numbers_survive_the_switch() {
    let mut sum = Generator::new(stack(), |yielder: &mut Yielder<_, _>, mut term: f64| {
        let mut total = 0.0;
        loop {
            total += term;
            term = yielder.suspend(total);
        }
    });
    let mut expected = 0.0;
    for term in 1..100 {
        expected += 1.0 / f64::from(term);
        assert_eq!(sum.resume(1.0 / f64::from(term)), Some(expected));
    }
}

#[test]
fn the_stack_is_aligned_for_vector_instructions() {
    #[repr(align(16))]
    struct Aligned([u8; 16]);
    let mut generator = Generator::new(stack(), |yielder, ()| loop {
        let local = Aligned([0; 16]);
        let address = local.0.as_ptr();
        // Faults on an unaligned operand.
        unsafe { asm!("movaps xmm0, [{}]", in(reg) address, out("xmm0") _) };
        yielder.suspend(address as usize % 16);
    });
    assert_eq!(generator.next(), Some(0));
    assert_eq!(generator.next(), Some(0));
}

#[test]
fn a_generator_may_be_resumed_where_its_creator_has_returned() {
    fn deep(depth: usize, generator: &mut Generator<(), usize, OsStack>) -> usize {
        if depth == 0 {
            generator.next().unwrap()
        } else {
            deep(depth - 1, generator)
        }
    }
    fn create() -> Generator<(), usize, OsStack> {
        Generator::new(stack(), |yielder, ()| (0..100).for_each(|n| yielder.suspend(n)))
    }
    let mut generator = create();
    for n in 0..50 {
        assert_eq!(deep(n, &mut generator), n);
    }
}
