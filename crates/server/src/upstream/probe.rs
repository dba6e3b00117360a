//! Probes for loops: an edge that reaches itself over others finds out before it says anything.
//!
//! The protocol has no place for metadata, but it has one for what nobody is told: a frame that is
//! incomplete at the end of a stream is discarded (FRAME-6). So an edge sends its id upstream in
//! such a frame, on a connection of its own. Every server discards it, and an edge passes it on to
//! its own upstream. One that gets its own id back is in a loop.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The header of a frame that is longer than a probe, so that it stays incomplete.
const HEADER: u8 = 255;
const MAGIC: &[u8] = b"zillions-server edge probe 1 ";
const ID_BYTES: usize = 16;
/// Over how many edges a probe is passed on: trees are less deep.
const HOPS_MAX: u8 = 32;

/// Who an edge, or a node of a cluster, is: chosen at random when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId([u8; ID_BYTES]);

impl NodeId {
    pub(crate) fn random() -> Self {
        // The standard library's source of random numbers is behind its hash keys.
        let half = || RandomState::new().build_hasher().finish();
        Self(((u128::from(half()) << 64) | u128::from(half())).to_le_bytes())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// An edge's id on its way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Who looks for a loop.
    pub(crate) origin: NodeId,
    /// Over how many edges it has come.
    hops: u8,
}

impl Probe {
    /// The first of its kind.
    pub(crate) fn of(origin: NodeId) -> Self {
        Self { origin, hops: 0 }
    }

    /// The probe in an incomplete frame, header included.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let rest = frame.strip_prefix(&[HEADER])?.strip_prefix(MAGIC)?;
        let (&hops, id) = rest.split_last()?;
        let origin = NodeId(id.try_into().ok()?);
        (hops < HOPS_MAX).then_some(Self { origin, hops })
    }

    /// The same, as it is passed on.
    pub(crate) fn passed_on(self) -> Self {
        Self { hops: self.hops + 1, ..self }
    }

    /// The incomplete frame.
    pub(crate) fn frame(self) -> Vec<u8> {
        [&[HEADER], MAGIC, &self.origin.0, &[self.hops]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_an_incomplete_frame_and_comes_to_an_end() {
        let mut probe = Probe::of(NodeId::random());
        for _ in 0..HOPS_MAX {
            let frame = probe.frame();
            assert_eq!(zillions_protocol::whole_frames(&frame).bytes, 0, "nobody is told");
            assert_eq!(Probe::parse(&frame), Some(probe));
            probe = probe.passed_on();
        }
        assert_eq!(Probe::parse(&probe.frame()), None);
        assert_ne!(NodeId::random(), NodeId::random());
    }

    #[test]
    fn other_incomplete_frames_are_not_probes() {
        let frame = Probe::of(NodeId::random()).frame();
        for cut in 0..frame.len() {
            assert_eq!(Probe::parse(&frame[..cut]), None);
        }
        assert_eq!(Probe::parse(b"\xffzillions-server edge probe 2 0123456789abcdef0"), None);
    }
}
