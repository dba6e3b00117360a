//! Long texts that few readers open: compressed, and unpacked by the page.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;

/// `text` in gzip's format, in base64. The same text always gives the same.
///
/// # Panics
///
/// If writing to memory fails, which it does not.
pub(super) fn packed(text: &str) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(7));
    encoder.write_all(text.as_bytes()).expect("memory can be written to");
    BASE64.encode(encoder.finish().expect("memory can be written to"))
}

/// What [`packed`] was given.
#[cfg(test)]
pub(super) fn unpacked(packed: &str) -> String {
    let bytes = BASE64.decode(packed).expect("base64");
    std::io::read_to_string(flate2::read::GzDecoder::new(bytes.as_slice())).expect("gzip")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_smaller_and_comes_back() {
        let text = "<tr><td>1.23 ms</td></tr>\n".repeat(1_000);
        let small = packed(&text);
        assert!(small.len() * 20 < text.len(), "{} bytes", small.len());
        assert_eq!(unpacked(&small), text);
        assert_eq!(packed(&text), small);
    }
}
