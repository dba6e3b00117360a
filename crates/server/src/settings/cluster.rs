//! What the options of a room say of a cluster.

use std::fs;
use std::path::Path;

use crate::cluster::config::{ClusterConfig, Login};
use crate::error::Error;
use crate::options::RoomOptions;

/// What the options of a room say of a cluster, if anything.
///
/// # Errors
/// [`Error::Contradiction`], which names the option.
pub(super) fn cluster(options: &RoomOptions) -> Result<Option<ClusterConfig>, Error> {
    let wrong = |text: String| Err(Error::Contradiction(text));
    if options.cluster.is_empty() {
        for (option, is_set) in [
            ("--cluster-room", options.cluster_room.is_some()),
            ("--cluster-credentials-file", options.cluster_credentials_file.is_some()),
            ("--cluster-ca-file", options.cluster_ca_file.is_some()),
        ] {
            if is_set {
                return wrong(format!("{option} requires --cluster"));
            }
        }
        return Ok(None);
    }
    if cfg!(not(feature = "cluster")) {
        return wrong("--cluster is not in this build: use one with the feature 'cluster'".into());
    }
    if !options.upstream.is_empty() {
        return wrong("--cluster excludes --upstream: one of them makes the order".into());
    }
    options.cluster.iter().try_for_each(|url| check_url(url))?;
    let room = options.cluster_room.as_ref().unwrap_or(&options.name).clone();
    check_room(&room)?;
    let replicas = options.cluster_replicas;
    if ![1, 3].contains(&replicas) {
        return wrong(format!("--cluster-replicas {replicas} is not 1 or 3"));
    }
    let bytes_max = options.max_cluster_bytes.0;
    if !(1 << 20..=1 << 40).contains(&bytes_max) {
        return wrong(format!("--max-cluster-bytes {bytes_max} is not between 1 MiB and 1024 GiB"));
    }
    let login = options.cluster_credentials_file.as_deref().map(read_login).transpose()?;
    if let Some(path) = &options.cluster_ca_file {
        read("--cluster-ca-file", path)?;
    }
    Ok(Some(ClusterConfig {
        servers: options.cluster.clone(),
        room,
        replicas,
        storage: options.cluster_storage,
        bytes_max,
        login,
        ca: options.cluster_ca_file.clone(),
    }))
}

/// `nats://HOST[:PORT]` or `tls://HOST[:PORT]`.
fn check_url(url: &str) -> Result<(), Error> {
    let wrong = |reason: &str| {
        let text =
            format!("invalid --cluster '{url}': {reason}; write for example nats://a:4222,b:4222");
        Err(Error::Contradiction(text))
    };
    let rest = match url.split_once("://") {
        None => url,
        Some(("nats" | "tls", rest)) => rest,
        Some(_) => return wrong("its scheme is neither nats nor tls"),
    };
    if rest.contains('@') {
        // Not the URL itself: it would be in the log.
        return Err(Error::Contradiction(
            "invalid --cluster: a URL holds a password, which others can see; write it in the file \
             of --cluster-credentials-file"
                .into(),
        ));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, port),
        _ => (rest, "4222"),
    };
    if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
        return wrong("it has no valid host");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => wrong("its port is not a number from 1 to 65535"),
    }
}

/// The name is in those of a stream and of subjects, where dots separate.
fn check_room(room: &str) -> Result<(), Error> {
    let is_valid = !room.is_empty()
        && room.len() <= 64
        && room.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_valid {
        return Ok(());
    }
    Err(Error::Contradiction(format!(
        "invalid name of a room in a cluster '{room}': write --cluster-room with 1 to 64 letters, \
         digits, '-' or '_'"
    )))
}

fn read(option: &str, path: &Path) -> Result<String, Error> {
    let failed =
        |error| Error::Contradiction(format!("{option}: cannot read {}: {error}", path.display()));
    fs::read_to_string(path).map_err(failed)
}

fn read_login(path: &Path) -> Result<Login, Error> {
    let text = read("--cluster-credentials-file", path)?;
    let line = text.trim();
    if line.is_empty() || line.lines().count() > 1 {
        return Err(Error::Contradiction(format!(
            "--cluster-credentials-file: {} is not one line: write USER:PASSWORD or a token",
            path.display()
        )));
    }
    Ok(match line.split_once(':') {
        Some((user, password)) => Login::Password(user.to_owned(), password.to_owned()),
        None => Login::Token(line.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_wrong_is_named_with_the_reason_but_never_a_password() {
        for url in ["nats://a:4222", "b:4222", "c", "tls://[::1]:4222", "[::1]", "127.0.0.1:1"] {
            check_url(url).unwrap_or_else(|error| panic!("{error}"));
        }
        for (url, expected) in [
            ("http://127.0.0.1:1", "'http://127.0.0.1:1': its scheme is neither nats nor tls"),
            ("nats://:4222", "it has no valid host"),
            ("nats://a:4222/b", "its port is not a number"),
            ("nats://a:0", "its port is not a number"),
            ("a:70000", "its port is not a number"),
            ("nats://me:secret@a:1", "a URL holds a password"),
        ] {
            let error = check_url(url).expect_err("it is wrong").to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_room_is_a_token_of_a_subject() {
        for room in ["main", "A-1_b", &"x".repeat(64)] {
            check_room(room).expect("it is valid");
        }
        for room in ["", "a.b", "a b", "*", ">", "é", &"x".repeat(65)] {
            check_room(room).expect_err("it is wrong");
        }
    }
}
