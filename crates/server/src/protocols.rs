//! What is spoken at a server's addresses, made of its options.

use std::sync::Arc;

use crate::codec::{Protocol, Spoken};
use crate::error::Error;
use crate::listen_address::Scheme;
use crate::options::{ClientCertificates, TlsOptions, WebSocketOptions};
use crate::tls::{Tls, server_config};
use crate::web;
use crate::websocket::WebSocket;

/// What is spoken, by scheme.
pub(crate) struct Protocols {
    websocket: Arc<dyn Protocol>,
    /// If there is such an address.
    tls: Spoken,
    secure_websocket: Spoken,
}

impl Protocols {
    /// For addresses with these schemes.
    ///
    /// # Errors
    /// [`Error::Contradiction`]: an option is invalid or has no effect, or a file cannot be used.
    pub(crate) fn new(
        of_websocket: &WebSocketOptions,
        of_tls: &TlsOptions,
        schemes: &[Scheme],
    ) -> Result<Self, Error> {
        check_use(of_websocket, of_tls, schemes)?;
        let websocket: Arc<dyn Protocol> = Arc::new(WebSocket::new(web::policy(of_websocket)?));
        let (mut tls, mut secure_websocket): (Spoken, Spoken) = (None, None);
        if schemes.iter().any(|scheme| scheme.is_tls()) {
            let config = server_config(of_tls)?;
            tls = Some(Arc::new(Tls::new(Arc::clone(&config), None)));
            secure_websocket = Some(Arc::new(Tls::new(config, Some(Arc::clone(&websocket)))));
        }
        Ok(Self { websocket, tls, secure_websocket })
    }

    /// What is spoken at an address with this scheme; `None` is the plain protocol.
    pub(crate) fn of(&self, scheme: Scheme) -> Spoken {
        match scheme {
            Scheme::Plain => None,
            Scheme::WebSocket => Some(Arc::clone(&self.websocket)),
            Scheme::Tls => self.tls.clone(),
            Scheme::SecureWebSocket => self.secure_websocket.clone(),
        }
    }
}

/// Refuses options that no address makes use of.
fn check_use(
    websocket: &WebSocketOptions,
    tls: &TlsOptions,
    schemes: &[Scheme],
) -> Result<(), Error> {
    let websockets = schemes.iter().any(|scheme| scheme.is_websocket());
    let secure = schemes.iter().any(|scheme| scheme.is_tls());
    let of_websocket = [
        ("--allow-origin", !websocket.allow_origin.is_empty()),
        ("--token-file", websocket.token_file.is_some()),
    ];
    let of_tls = [
        ("--certificate-file", tls.certificate_file.is_some()),
        ("--key-file", tls.key_file.is_some()),
        ("--client-certificates", tls.client_certificates != ClientCertificates::None),
        ("--client-ca-file", tls.client_ca_file.is_some()),
        ("--allow-client-name", !tls.allow_client_name.is_empty()),
    ];
    for (options, is_used, prefixes) in [
        (&of_websocket[..], websockets, "ws:// or wss://"),
        (&of_tls[..], secure, "tls:// or wss://"),
    ] {
        if let Some((option, _)) = options.iter().find(|(_, is_set)| *is_set && !is_used) {
            let text = format!("{option} requires an address that begins with {prefixes}");
            return Err(Error::Contradiction(text));
        }
    }
    Ok(())
}
