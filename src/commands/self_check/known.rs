//! Servers whose verdict is known before they are checked.

use zillions_faulty::{Fault, Oddity};

/// A server whose verdict is known beforehand.
pub(super) enum Known {
    Faulty(Fault),
    Correct(Oddity),
}
