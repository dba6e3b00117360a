//! The chat page: one file that asks for nothing else, and the policy that makes the browser hold
//! it to that.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const HTML: &str = include_str!("page/chat.html");
const STYLE: &str = include_str!("page/chat.css");
const SCRIPT: &str = include_str!("page/chat.js");

/// The page and what its answer says of it.
#[derive(Clone, Debug)]
pub struct Page {
    /// The whole page.
    pub html: String,
    /// The value of `Content-Security-Policy`: this style, this script, a connection to where the
    /// page is from, and nothing else.
    pub security_policy: String,
}

/// The page; with `token_needed` it asks for one.
#[must_use]
pub fn page(token_needed: bool) -> Page {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            hash(SCRIPT),
            hash(STYLE)
        )
    });
    let token = if token_needed { "needed" } else { "none" };
    // Each once, the script last: nothing that is inserted is searched again.
    let html = HTML.replacen("{{token}}", token, 1).replacen("{{style}}", STYLE, 1).replacen(
        "{{script}}",
        SCRIPT,
        1,
    );
    Page { html, security_policy: POLICY.clone() }
}

fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}
