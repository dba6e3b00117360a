//! Addresses of a server that runs already, or is to be started, as several commands take them:
//! once, or once for each node of a service.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use zillions_harness::{MachineFault, address};

use crate::failure::{Failure, Outcome};

/// How long a server that runs already may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// All of `texts`, in their order.
///
/// # Errors
/// A usage error for one that is not an address, or that is given twice: a node that is two in the
/// tool's eyes would get twice its share of clients, and two nodes would seem to agree that are one.
pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(texts.len());
    for text in texts {
        let address = address::parse(text).map_err(Failure::usage)?;
        let same = |other: &&SocketAddr| {
            other.port() == address.port()
                && other.ip().to_canonical() == address.ip().to_canonical()
        };
        // With port 0 each is given a free one.
        if address.port() != 0
            && let Some(other) = addresses.iter().find(same)
        {
            let as_what = if *other == address { String::new() } else { format!(", as {other}") };
            return Err(Failure::usage(format!(
                "address {address} is given twice{as_what}: name each node once"
            )));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// One line instead of a report in which everything failed.
///
/// # Errors
/// A failure of the tool that names the first address at which nobody listens.
pub(crate) fn somebody_listens(addresses: &[SocketAddr]) -> Outcome {
    for address in addresses {
        let Err(error) = TcpStream::connect_timeout(address, CONNECT_MAX) else { continue };
        return Err(Failure::harness(match MachineFault::of(&error) {
            Some(fault) => format!("cannot connect to {address}: {fault}"),
            None => {
                format!("no server can be reached at {address}: {}; start it first", error.kind())
            }
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_in_two_spellings_is_given_twice() {
        let parse = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            parse_all(&texts)
        };
        let three = ["127.0.0.1:8080", "[::1]:8080", "127.0.0.2:8080"];
        assert_eq!(parse(&three).map(|it| it.len()).ok(), Some(3));
        assert!(parse(&["127.0.0.1:0", "127.0.0.1:0"]).is_ok());
        for twice in [["[::1]:8080", "[0:0::1]:8080"], ["127.0.0.1:1", "[::ffff:127.0.0.1]:1"]] {
            assert!(parse(&twice).is_err(), "{twice:?}");
        }
    }
}
