//! What the pictures of the documents share: their colours.

/// The colours of the report, on light ground.
pub(crate) const LIGHT: &str = "--paper: #fdfcf9; --ink: #1b1c1e; --soft: #595d63; --rule: #d9d6cd; \
                     --faint: #efece4; --first: #0b4f8a; --later: #767a80; --dot: #a9a69b;";
/// And on dark ground.
pub(crate) const DARK: &str = "--paper: #131518; --ink: #e7e5df; --soft: #a6a8ab; --rule: #373b41; \
                    --faint: #23262b; --first: #84bdf0; --later: #8e9298; --dot: #6c7178;";
