//! What an operator writes to say which server is upstream.

use rustls::pki_types::ServerName;

use crate::error::Error;

/// The address of an upstream server.
#[derive(Debug)]
pub(crate) struct UpstreamAddress {
    pub(crate) host_and_port: String,
    /// With TLS, the name that its certificate must be for.
    pub(crate) tls_name: Option<ServerName<'static>>,
}

impl UpstreamAddress {
    /// Parses `HOST:PORT`, or `tls://HOST:PORT`. The host is not looked up.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Address { text: text.to_owned(), reason };
        let (scheme, host_and_port) = match text.split_once("://") {
            None => ("", text),
            Some(parts) => parts,
        };
        let tls_name = match scheme {
            "" => None,
            "tls" => {
                let host = host_and_port.rsplit_once(':').map_or(host_and_port, |(host, _)| host);
                let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
                let name = ServerName::try_from(bare.unwrap_or(host).to_owned());
                Some(name.map_err(|_| invalid("a certificate cannot be for that host".into()))?)
            }
            _ => {
                return Err(invalid(format!(
                    "'{scheme}://' is not supported for an upstream; tls:// is, or none"
                )));
            }
        };
        Ok(Self { host_and_port: host_and_port.to_owned(), tls_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_name_of_the_certificate() {
        for (text, host_and_port, name) in [
            ("root.example:7000", "root.example:7000", None),
            ("tls://root.example:7000", "root.example:7000", Some("root.example")),
            ("tls://127.0.0.1:7", "127.0.0.1:7", Some("127.0.0.1")),
            ("tls://[::1]:7", "[::1]:7", Some("::1")),
        ] {
            let address = UpstreamAddress::parse(text).expect("it is valid");
            assert_eq!(address.host_and_port, host_and_port);
            assert_eq!(address.tls_name, name.map(|name| name.try_into().expect("a name")));
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for (text, expected) in [
            ("wss://root.example:7000", "'wss://' is not supported for an upstream"),
            ("tls://:7000", "a certificate cannot be for that host"),
        ] {
            let error = UpstreamAddress::parse(text).expect_err("it is wrong").to_string();
            assert!(error.contains(expected) && error.contains(text), "{error}");
        }
    }
}
