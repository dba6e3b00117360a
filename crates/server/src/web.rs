//! Who may connect over WebSocket: the options, checked, and the token's file, read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;
use zillions_protocol::FRAME_BYTES_MAX;
use zillions_websocket::{Origins, Policy, Token};

use crate::error::Error;
use crate::options::WebSocketOptions;

/// Permission bits of everybody but the owner to read.
const READ_BY_OTHERS: u32 = 0o044;

/// What holds at every `ws://` address.
///
/// # Errors
/// [`Error::Contradiction`], which names the option.
pub(crate) fn policy(options: &WebSocketOptions) -> Result<Arc<Policy>, Error> {
    let origins = Origins::parse(&options.allow_origin)
        .map_err(|error| Error::Contradiction(format!("--allow-origin: {error}")))?;
    let token = options.token_file.as_deref();
    let token = token.map(|path| read_token("--token-file", path)).transpose()?;
    let message_bytes_max = options.max_message_bytes.0;
    if message_bytes_max < FRAME_BYTES_MAX {
        return Err(Error::Contradiction(format!(
            "--max-message-bytes {message_bytes_max} is less than {FRAME_BYTES_MAX}, the longest frame"
        )));
    }
    let message_bytes_max = message_bytes_max as u64;
    Ok(Arc::new(Policy { origins, token, page: options.page, message_bytes_max }))
}

/// The token in the file that an option names; a warning if others may read it.
///
/// # Errors
/// [`Error::Contradiction`], which names the option.
pub(crate) fn read_token(option: &str, path: &Path) -> Result<Token, Error> {
    let refused =
        |why: String| Error::Contradiction(format!("{option} '{}': {why}", path.display()));
    let text =
        fs::read_to_string(path).map_err(|error| refused(format!("cannot read it: {error}")))?;
    if fs::metadata(path).is_ok_and(|file| file.mode() & READ_BY_OTHERS != 0) {
        warn!("others may read the token in '{}': chmod 600 it", path.display());
    }
    Token::parse(&text).map_err(|error| refused(error.to_string()))
}
