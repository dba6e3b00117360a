//! Values of options, as the command line and a config file write them.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes: `65536`, `64KiB`, `4MiB` or `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
        let unit = units.iter().find_map(|&(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
        let (number, shift) = unit.unwrap_or((text, 0));
        let number: usize = number
            .trim()
            .parse()
            .map_err(|_| "write a number of bytes, for example 65536, 64KiB or 4MiB".to_owned())?;
        let bytes = number.checked_mul(1 << shift).filter(|&bytes| bytes <= 1 << 46);
        bytes.map(Self).ok_or_else(|| "more memory than a machine can have".to_owned())
    }
}

/// A time in seconds, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondsOrOff(pub Option<Duration>);

impl FromStr for SecondsOrOff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        match text.parse::<u64>() {
            // What setsockopt takes: an int, in milliseconds for one of the two.
            Ok(seconds @ 1..=32_767) => Ok(Self(Some(Duration::from_secs(seconds)))),
            _ => Err("write a number of seconds from 1 to 32767, or off".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        as_written(deserializer)
    }
}

impl<'de> Deserialize<'de> for SecondsOrOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        as_written(deserializer)
    }
}

/// Reads a number or a string that says what the command line would.
fn as_written<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    struct AsWritten<T>(PhantomData<T>);

    impl<T: FromStr<Err: Display>> Visitor<'_> for AsWritten<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a number or a string")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(|error| E::custom(format!("invalid value '{text}': {error}")))
        }
    }

    deserializer.deserialize_any(AsWritten(PhantomData))
}

/// Reads a number from 0 to `MAX`.
pub(crate) fn at_most<'de, D: Deserializer<'de>, const MAX: u64>(
    deserializer: D,
) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number > MAX {
        return Err(D::Error::custom(format!("{number} is not in 0..={MAX}")));
    }
    Ok(number)
}
