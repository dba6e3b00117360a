//! Answers that are compressed where that is asked for.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};

use super::answer::{Answer, with_type};

/// A body of this type, compressed if the request's headers ask for it.
pub(crate) fn negotiated(headers: &HeaderMap, content_type: &'static str, body: String) -> Answer {
    let accept = headers.get_all(ACCEPT_ENCODING).iter();
    let is_asked = is_asked(accept.filter_map(|value| value.to_str().ok()));
    let packed = is_asked.then(|| pack(body.as_bytes()));
    let is_packed = packed.is_some();
    let body = packed.unwrap_or_else(|| body.into_bytes());
    let mut answer = with_type(StatusCode::OK, content_type, body);
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// Whether `Accept-Encoding` headers allow gzip: by name, or else by `*`.
fn is_asked<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut by_name, mut by_star) = (None, None);
    for coding in accept.flat_map(|value| value.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = weight.trim().strip_prefix("q=").unwrap_or("1");
        let is_allowed = quality.trim().parse::<f32>().is_ok_and(|quality| quality > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => by_name = Some(is_allowed),
            "*" => by_star = Some(is_allowed),
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compressed_only_where_that_is_asked_for() {
        for (accept, expected) in [
            (&[][..], false),
            (&["identity"], false),
            (&["gzip"], true),
            (&["deflate, GZIP;q=0.5"], true),
            (&["br", "gzip"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=often"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&[""], false),
        ] {
            assert_eq!(is_asked(accept.iter().copied()), expected, "{accept:?}");
        }
    }
}
