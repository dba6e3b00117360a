//! Which clients one of several threads drives.

/// Every `threads`-th client from `index` on, senders among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) index: usize,
    pub(crate) threads: usize,
}

impl Share {
    /// All clients.
    pub(crate) const WHOLE: Self = Self { index: 0, threads: 1 };

    /// The shares of `threads` threads.
    pub(crate) fn all(threads: usize) -> impl Iterator<Item = Self> {
        (0..threads).map(move |index| Self { index, threads })
    }

    pub(crate) fn has(self, client: usize) -> bool {
        client % self.threads == self.index
    }

    /// Those of the first `number` clients that are in it.
    #[inline]
    pub(crate) fn of(self, number: usize) -> impl Iterator<Item = usize> {
        (self.index..number).step_by(self.threads)
    }
}
