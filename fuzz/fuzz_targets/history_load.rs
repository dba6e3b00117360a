//! No data makes the loader panic; what it accepts comes back from both forms
//! as it was, and every counterexample to it is confirmed.
//!
//! `cargo +nightly fuzz run history_load -- -max_total_time=60`

#![no_main]

use libfuzzer_sys::fuzz_target;
use zillions_ordering::{History, account, check, confirm, load, save, save_text};

fuzz_target!(|data: &[u8]| {
    let loaded = match data.split_first() {
        // Events in a file whose checksums are right: random data never gets past them.
        Some((&events, block)) if events < 0x20 => load(&file_of(block, events)[..]),
        _ => load(data),
    };
    match loaded {
        Ok(history) => examine(&history),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
});

fn examine(history: &History) {
    let (mut compact, mut text) = (Vec::new(), Vec::new());
    save(history, &mut compact).expect("memory takes it");
    save_text(history, "", &mut text).expect("memory takes it");
    assert!(load(&compact[..]).expect("it was just saved") == *history);
    assert!(load(&text[..]).expect("it was just saved") == *history);
    for counterexample in check(history).broken() {
        confirm(history, counterexample).expect("a counterexample is true");
    }
    account(history);
}

/// A history file of one block.
fn file_of(block: &[u8], events: u8) -> Vec<u8> {
    let mut file = Vec::new();
    save(&History::new(), &mut file).expect("memory takes it");
    let header_bytes = file.len() - 16;
    file.truncate(header_bytes);
    if !block.is_empty() {
        file.extend((block.len() as u32).to_le_bytes());
        file.extend(crc32fast::hash(block).to_le_bytes());
        file.extend(block);
    }
    let count = u64::from(events).to_le_bytes();
    file.extend(0u32.to_le_bytes());
    file.extend(crc32fast::hash(&count).to_le_bytes());
    file.extend(count);
    file
}
