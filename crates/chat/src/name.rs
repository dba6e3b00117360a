//! The user's name in the chat. It is a convention of clients; the protocol knows none.

use std::env;

use zillions_escape::visible;

use crate::split::NAME_BYTES_MAX;

/// Where the system tells no name that can be used.
const NAME_UNKNOWN: &str = "guest";

/// `name`, if others can take it for one: at most 32 bytes without control characters, and without
/// the colon that would end it.
///
/// # Errors
/// Why it is invalid, as one line.
pub fn check_name(name: &str) -> Result<String, String> {
    if name.trim() != name || name.is_empty() {
        return Err("a name begins and ends with a character that can be seen".to_owned());
    }
    if name.contains(':') {
        return Err("a name has no colon: it ends with one in each message".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has at most {NAME_BYTES_MAX} bytes (got {})", name.len()));
    }
    if visible(name) != name || name.contains('\t') {
        return Err("a name has no control characters and no invisible ones".to_owned());
    }
    Ok(name.to_owned())
}

/// The name of the user who runs this process, or `guest`.
#[must_use]
pub fn user_name() -> String {
    let names = ["USER", "LOGNAME"].into_iter().filter_map(|key| env::var(key).ok());
    names.into_iter().find_map(|name| check_name(&name).ok()).unwrap_or(NAME_UNKNOWN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_told_from_what_it_says() {
        for name in ["ann", "Ann B.", "世界", "مریم", &"x".repeat(32)] {
            assert_eq!(check_name(name).as_deref(), Ok(name));
        }
        for (name, reason) in [
            ("", "begins and ends"),
            (" ann", "begins and ends"),
            ("a:b", "no colon"),
            (&"x".repeat(33), "at most 32 bytes (got 33)"),
            ("a\x1bb", "no control characters"),
            ("a\tb", "no control characters"),
            ("a\u{202e}b", "no control characters"),
        ] {
            let error = check_name(name).expect_err(name);
            assert!(error.contains(reason), "{name}: {error}");
        }
    }
}
