//! Whom a listener lets in, and its limits.

use constant_time_eq::constant_time_eq;

/// The shortest and the longest token, in characters.
const TOKEN_CHARACTERS: std::ops::RangeInclusive<usize> = 16..=256;

/// Whom a listener lets in, and its limits.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The web pages whose scripts may connect.
    pub origins: Origins,
    /// What a client must know.
    pub token: Option<Token>,
    /// Whether `GET /` is answered with the chat page.
    pub page: bool,
    /// The longest message that a client may send, in bytes.
    pub message_bytes_max: u64,
}

/// The web pages whose scripts may connect. Programs that are no browsers name no origin and are
/// not affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Those that this server itself has served, under whatever name the browser knows it.
    Own,
    /// All.
    Any,
    /// These, as `scheme://host` or `scheme://host:port` in lower case.
    Listed(Vec<String>),
}

/// What is wrong with an origin or a token, in one line that follows its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPolicy(String);

impl Origins {
    /// From a list; empty is [`Origins::Own`], and `*` is all.
    ///
    /// # Errors
    /// When one is not an origin as browsers send it.
    pub fn parse(list: &[String]) -> Result<Self, InvalidPolicy> {
        if list.is_empty() {
            return Ok(Self::Own);
        }
        if list.iter().any(|origin| origin == "*") {
            return match list {
                [_] => Ok(Self::Any),
                _ => Err(InvalidPolicy("'*' allows every origin: leave out the others".into())),
            };
        }
        list.iter().map(|text| origin(text)).collect::<Result<_, _>>().map(Self::Listed)
    }

    /// Whether scripts of this origin may connect to a server that the browser knows as `host`.
    #[must_use]
    pub fn allow(&self, origin: &str, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Own => {
                let authority = origin.split_once("://").map(|(_, authority)| authority);
                authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
            }
            Self::Listed(list) => list.iter().any(|it| it.eq_ignore_ascii_case(origin)),
        }
    }
}

/// Checks an origin: a scheme, a host, a port unless it is that of the scheme, and no more.
fn origin(text: &str) -> Result<String, InvalidPolicy> {
    let lower = text.to_ascii_lowercase();
    let scheme_and_host = lower.split_once("://");
    let is_origin = scheme_and_host.is_some_and(|(scheme, host)| {
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            && !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@*\\".contains(&byte))
    });
    if !is_origin {
        return Err(InvalidPolicy(
            "write SCHEME://HOST or SCHEME://HOST:PORT without a path, for example \
             https://chat.example.org, or '*' for all"
                .into(),
        ));
    }
    for (scheme, port) in [("http", ":80"), ("https", ":443")] {
        if let Some((given, host)) = scheme_and_host
            && given == scheme
            && let Some(without_port) = host.strip_suffix(port)
        {
            return Err(InvalidPolicy(format!(
                "browsers leave out the port of the scheme: write {scheme}://{without_port}"
            )));
        }
    }
    Ok(lower)
}

/// What a client must know to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// The token in a file's text: its only line.
    ///
    /// # Errors
    /// When it cannot be sent as it is, or is so short that it could be guessed.
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let token = text.trim_ascii();
        let is_sendable = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !TOKEN_CHARACTERS.contains(&token.len()) || !token.bytes().all(is_sendable) {
            return Err(InvalidPolicy(format!(
                "a token is one line of {} to {} letters, digits and '-._~' (make one with: \
                 openssl rand -hex 32)",
                TOKEN_CHARACTERS.start(),
                TOKEN_CHARACTERS.end()
            )));
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether it is this. How long that takes does not depend on where they differ.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        constant_time_eq(self.0.as_bytes(), given)
    }
}
