//! Histograms as they are recorded: in HdrHistogram's V2 compressed format, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// `histogram` as text.
///
/// # Panics
///
/// If writing to memory fails, which it does not.
#[must_use]
pub fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .expect("a histogram can be written to memory");
    BASE64.encode(bytes)
}

/// The histogram that `text` is.
///
/// # Errors
///
/// If it is not what [`encode`] writes: what is wrong with it.
pub fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = BASE64.decode(text).map_err(|error| error.to_string())?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| error.to_string())
}

/// The value at `quantile`, from 0 to 1, in the unit of the values; 0 of nothing.
#[must_use]
pub fn value_at(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    histogram.value_at_quantile(quantile)
}
