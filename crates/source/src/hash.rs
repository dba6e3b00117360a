//! Which texts: one hash that tells programs apart.

use sha2::{Digest, Sha256};

/// SHA-256 of `texts` with the boundaries between them, in hexadecimal.
#[must_use]
pub fn hash_of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_however_they_are_cut() {
        let all = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["abc", ""], &[]];
        let hashes = all.map(|texts| hash_of_texts(texts.iter().copied()));
        for (at, hash) in hashes.iter().enumerate() {
            assert_eq!(hash.len(), 64);
            assert!(!hashes[at + 1..].contains(hash), "{:?}", all[at]);
        }
        assert_eq!(hashes[0], hash_of_texts(["ab", "c"]));
    }

    #[test]
    fn committed_hashes_stay_what_they_are() {
        // printf '\1\0\0\0\0\0\0\0a\2\0\0\0\0\0\0\0bc' | sha256sum
        assert_eq!(
            hash_of_texts(["a", "bc"]),
            "9a8acca1b6c6c0befd3fbc756aed625da998c998f7252e738c4ef061906b9b21"
        );
    }
}
