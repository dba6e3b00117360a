//! Histograms as they are recorded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Times in nanoseconds: the usual figures, and the whole histogram to merge and recompute from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistogramRecord {
    /// How many times were recorded.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The histogram, in HdrHistogram's V2 compressed format, in base64.
    pub hdr: String,
}

/// A histogram in a file that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the histogram is damaged ({0})")]
pub struct HistogramError(String);

impl HistogramRecord {
    /// Records `histogram`, whose values are nanoseconds.
    ///
    /// # Panics
    ///
    /// If writing to memory fails, which it does not.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .expect("a histogram can be written to memory");
        Self {
            count: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
            hdr: BASE64.encode(bytes),
        }
    }

    /// The recorded histogram.
    ///
    /// # Errors
    ///
    /// If `hdr` is not what [`new`](Self::new) writes.
    pub fn histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        let bytes = BASE64.decode(&self.hdr).map_err(|e| HistogramError(e.to_string()))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|e| HistogramError(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_recording() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for value in [1, 1_000, 5_000_000, 5_000_000] {
            histogram.record(value).unwrap();
        }
        let record = HistogramRecord::new(&histogram);
        assert_eq!(record.count, 4);
        assert_eq!(record.histogram().unwrap(), histogram);
    }

    #[test]
    fn a_damaged_histogram_is_an_error_and_no_panic() {
        for hdr in ["", "!", "AAAA", "HISTFAAAAB542pNpmSzMwMDAxQABzFCaEUoz"] {
            let record = HistogramRecord { hdr: hdr.to_owned(), ..HistogramRecord::default() };
            assert!(record.histogram().is_err(), "{hdr:?}");
        }
    }
}
