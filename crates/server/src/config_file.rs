//! The config file: TOML, with the groups of options as tables.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Args, Command};
use serde::Deserialize;
use toml::Spanned;

use crate::error::Error;
use crate::options::{ClientOptions, RoomOptions, ServerOptions, TlsOptions, WebSocketOptions};
use crate::settings::{Settings, as_keys};

/// The longest lines of the printed file, in bytes.
const LINE_BYTES_MAX: usize = 96;

/// What is at the top of the printed file.
const HEADER: &str = "\
# The configuration of zillions-server, with all defaults: zillions-server --config FILE
# Keys that begin with # are not set. Sizes are bytes, or strings that end in KiB, MiB or GiB.
";

/// What the printed file says of a room's name and addresses.
const ROOM_HEADER: &str = "
# Each room has its own messages and its own order of them.
[[room]]
# Its name: letters, digits, '-', '_' and '.'.
name = \"main\"
# Where to listen, HOST:PORT each; tls:// before it for TLS, ws:// or wss:// for WebSocket and a
# chat page. An address with rules of its own is a table: { address = \"HOST:PORT\",
# role = \"listen-only\" }; it may have role, unwanted_sender, max_clients, max_clients_per_ip,
# max_messages_per_second and max_bytes_per_second.
listen = [\"127.0.0.1:4000\"]
# Maximum number of its clients [default: what all rooms together may have].
#max_clients = N
";

/// A config file's form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    server: ServerOptions,
    clients: ClientOptions,
    websocket: WebSocketOptions,
    tls: TlsOptions,
    room: Vec<Spanned<RoomOptions>>,
}

/// Reads a config file. What its values mean together is not checked yet.
///
/// # Errors
/// [`Error::Config`]: it cannot be read, or its form is wrong.
pub(crate) fn read(path: &Path) -> Result<Settings, Error> {
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) => {
            let what = format!("cannot read it: {error}");
            Err(Error::Config { path: path.to_owned(), line: None, what })
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<Settings, Error> {
    let path: PathBuf = path.to_owned();
    let line = |byte: usize| text[..byte.min(text.len())].matches('\n').count() + 1;
    let File { server, clients, websocket, tls, room } = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            let line = error.span().map(|span| line(span.start));
            return Err(Error::Config { path, line, what: error.message().replace('\n', " ") });
        }
    };
    let with_line = |room: Spanned<RoomOptions>| {
        let line = Some(line(room.span().start));
        RoomOptions { line, ..room.into_inner() }
    };
    let rooms = room.into_iter().map(with_line).collect();
    Ok(Settings { file: Some(path), server, clients, websocket, tls, rooms })
}

/// A config file with all defaults, and what each key means.
pub(crate) fn defaults() -> String {
    let mut text = HEADER.to_owned();
    text += "\n[server]\n";
    add_group::<ServerOptions>(&mut text);
    text += "\n[clients]\n";
    add_group::<ClientOptions>(&mut text);
    text += "\n[websocket]\n";
    add_group::<WebSocketOptions>(&mut text);
    text += "\n[tls]\n";
    add_group::<TlsOptions>(&mut text);
    text += ROOM_HEADER;
    add_group::<RoomOptions>(&mut text);
    text
}

fn add_group<T: Args>(text: &mut String) {
    for option in T::augment_args(Command::new("group")).get_arguments() {
        add_key(text, option);
    }
}

/// The key of one option: its help as a comment, and its default, if it has one.
fn add_key(text: &mut String, option: &Arg) {
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    let mut help = as_keys(&help);
    let values: Vec<String> =
        option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !values.is_empty() {
        help += &format!(" One of {}.", values.join(", "));
    }
    let mut line = "#".to_owned();
    for word in help.split_whitespace() {
        if line.len() + 1 + word.len() > LINE_BYTES_MAX {
            *text += &line;
            text.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line += word;
    }
    *text += &line;
    text.push('\n');
    let key = option.get_long().unwrap_or_default().replace('-', "_");
    let default = option.get_default_values().first().and_then(|value| value.to_str());
    *text += &match default {
        Some(bare) if bare.parse::<u64>().is_ok() || bare.parse::<bool>().is_ok() => {
            format!("{key} = {bare}\n")
        }
        Some(word) => format!("{key} = \"{word}\"\n"),
        None => {
            let names = option.get_value_names().and_then(|names| names.first());
            let value = names.map_or("", |name| name.as_str());
            match option.get_action() {
                ArgAction::Append => format!("#{key} = [{value}]\n"),
                _ => format!("#{key} = {value}\n"),
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use clap::CommandFactory;

    use super::*;
    use crate::listener_options::ListenerOptions;
    use crate::listener_rules::{ListenerRules, Role, UnwantedSender};
    use crate::options::Options;
    use crate::rate::Rates;

    fn parsed(text: &str) -> Settings {
        parse(Path::new("zillions.toml"), text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn refusal(text: &str) -> String {
        let settings = parse(Path::new("zillions.toml"), text);
        let checked =
            settings.and_then(|it| it.rooms().and(it.config()).and(it.addresses()).and(it.rules()));
        checked.expect_err("it is wrong").to_string()
    }

    #[test]
    fn the_printed_file_is_valid_and_says_what_holds_without_it() {
        let printed = parsed(&defaults());
        assert_eq!(format!("{:?}", printed.server), format!("{:?}", ServerOptions::default()));
        assert_eq!(format!("{:?}", printed.clients), format!("{:?}", ClientOptions::default()));
        let websocket = WebSocketOptions::default();
        assert_eq!(format!("{:?}", printed.websocket), format!("{websocket:?}"));
        assert_eq!(format!("{:?}", printed.tls), format!("{:?}", TlsOptions::default()));
        let [room] = &printed.rooms[..] else { panic!("one room") };
        let (name, listen) = ("main".to_owned(), vec![ListenerOptions::plain("127.0.0.1:4000")]);
        let expected = RoomOptions { name, listen, line: room.line, ..RoomOptions::default() };
        assert_eq!(format!("{room:?}"), format!("{expected:?}"));
        printed.rooms().expect("a valid room");
        printed.config().expect("valid limits");
        printed.socket_options().expect("valid options");
    }

    #[test]
    fn every_option_is_a_key() {
        let printed = defaults();
        let mut keys = 0;
        for option in Options::command().get_opts() {
            let name = option.get_long().expect("a long name");
            if ["config", "check-config", "print-config"].contains(&name) {
                continue;
            }
            let key = name.replace('-', "_");
            let is_key = |line: &str| line.trim_start_matches('#').starts_with(&format!("{key} ="));
            assert!(printed.lines().any(is_key), "--{name} is not in\n{printed}");
            keys += 1;
        }
        assert!(keys > 15, "{keys} keys");
        // Those without a default, too.
        let set = |line: &str| match line.strip_prefix('#').and_then(|it| it.split_once(" = ")) {
            Some(("idle_traffic", _)) => "idle_traffic = \"both\"".to_owned(),
            Some(("unwanted_sender", _)) => "unwanted_sender = \"disconnect\"".to_owned(),
            Some((key, "SIZE")) => format!("{key} = \"64KiB\""),
            Some((key, "[ADDR]")) => format!("{key} = [\"127.0.0.1:4001\"]"),
            Some((key, "[ORIGIN]")) => format!("{key} = [\"https://chat.example.org\"]"),
            Some((key, "[NAME]")) => format!("{key} = [\"client.example.org\"]"),
            Some((key, "[URL]")) => format!("{key} = [\"nats://127.0.0.1:4222\"]"),
            Some((key, "NAME")) => format!("{key} = \"hall\""),
            Some((key, "FILE")) => format!("{key} = \"token\""),
            Some((key, "ADDR")) => format!("{key} = \"127.0.0.1:9100\""),
            Some((key, _)) if !key.starts_with(' ') => format!("{key} = 3"),
            _ => line.to_owned(),
        };
        let all: Vec<String> = printed.lines().map(set).collect();
        let settings = parsed(&all.join("\n"));
        assert_eq!(settings.clients.max_unsent_bytes.map(|size| size.0), Some(65536));
        assert_eq!(settings.rooms[0].eviction_timeout_seconds.map(u64::from), Some(3));
        assert_eq!(settings.rooms[0].max_clients.map(usize::from), Some(3));
    }

    #[test]
    fn an_address_has_the_rules_of_its_room_or_its_own() {
        let settings = parsed(
            "[[room]]\nname = \"a\"\nrole = \"listen-only\"\nunwanted_sender = \"disconnect\"\n\
             listen = [\"127.0.0.1:1\", { address = \"127.0.0.1:2\", role = \"both\", \
             max_clients = 4, max_clients_per_ip = 3, max_bytes_per_second = \"2KiB\" }]\n\
             max_messages_per_second = 5\n",
        );
        let unwanted_sender = UnwantedSender::Disconnect;
        let rates = Rates { messages: NonZeroU64::new(5), bytes: None };
        let default = ListenerRules { unwanted_sender, rates, ..ListenerRules::default() };
        let of_room = ListenerRules { role: Role::ListenOnly, ..default };
        let (clients_max, clients_per_ip_max) = (Some(4), Some(3));
        let rates = Rates { bytes: NonZeroU64::new(2048), ..rates };
        let own = ListenerRules { clients_max, clients_per_ip_max, rates, ..default };
        assert_eq!(settings.rules().expect("valid rules"), [[of_room, own]]);
    }

    fn refused(text: &str, expected: &str) {
        let line = refusal(text);
        assert!(line.starts_with(expected), "{line}\ninstead of\n{expected}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }

    #[test]
    fn wrong_rules_of_an_address_are_said_with_their_line() {
        let room = "[[room]]\nname = \"a\"\nlisten = [\"127.0.0.1:4000\"]\n";
        for (text, expected) in [
            (
                &format!("{room}unwanted_sender = \"discard\"\n")[..],
                "zillions.toml:1: room 'a': unwanted_sender requires role listen-only",
            ),
            (
                "[[room]]\nname = \"a\"\nlisten = [\n{ address = \"h:1\", rule = \"both\" },\n]\n",
                "zillions.toml:4: unknown field `rule`, expected one of `address`, `role`",
            ),
            (
                "[[room]]\nname = \"a\"\nlisten = [4000]\n",
                "zillions.toml:3: invalid type: integer `4000`, expected an address, or a table",
            ),
            (
                "[[room]]\nname = \"a\"\nlisten = [{ role = \"both\" }]\n",
                "zillions.toml:3: missing field `address`",
            ),
            (
                "[[room]]\nname = \"a\"\nmax_clients = 2\n\
                 listen = [{ address = \"127.0.0.1:1\", max_clients = 3 }]\n",
                "zillions.toml:1: room 'a': max_clients 3 of 127.0.0.1:1 is more than the 2 of",
            ),
            (
                &format!("{room}max_bytes_per_second = 0\n"),
                "zillions.toml:1: room 'a': max_bytes_per_second 0 lets nothing pass",
            ),
        ] {
            refused(text, expected);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let room = "[[room]]\nname = \"a\"\nlisten = [\"127.0.0.1:4000\"]\n";
        for (text, expected) in [
            ("[server]\nshard = 2\n", "zillions.toml:2: unknown field `shard`"),
            ("[sever]\n", "zillions.toml:1: unknown field `sever`"),
            ("[server]\nshards = \"two\"\n", "zillions.toml:2: invalid type: string \"two\""),
            ("[server]\nshards = 0\n", "zillions.toml:2: invalid value: integer `0`"),
            ("[server]\nengine = \"kqueue\"\n", "zillions.toml:2: invalid engine 'kqueue'"),
            ("[server]\nlog_level = \"loud\"\n", "zillions.toml:2: unknown variant `loud`"),
            (
                "[server]\ndrain_timeout_seconds = 3601\n",
                "zillions.toml:2: 3601 is not in 0..=3600",
            ),
            ("[server\n", "zillions.toml:1: "),
            ("", "zillions.toml: it has no room: add a table [[room]]"),
            (
                "[clients]\nkeepalive_seconds = 0\n",
                "zillions.toml:2: invalid value '0': write a number of seconds from 1 to 32767, or off",
            ),
            (
                &format!("{room}max_clients = 6\n[clients]\nmax_clients = 5\n"),
                "zillions.toml:1: room 'a': max_clients 6 is more than the 5 of [clients]",
            ),
            (&format!("{room}{room}"), "zillions.toml:4: room 'a': another room has this name"),
            (
                &format!("{room}{}", room.replace("\"a\"", "\"b\"")),
                "zillions.toml:4: room 'b': address 127.0.0.1:4000 is given twice",
            ),
            (
                &format!("[clients]\nidle_traffic = \"both\"\n{room}"),
                "zillions.toml: idle_traffic requires idle_timeout_seconds",
            ),
            (
                "\n[[room]]\nring_bytes = \"4 bits\"\n",
                "zillions.toml:3: invalid value '4 bits': write a number of bytes",
            ),
            ("\n[[room]]\n", "zillions.toml:2: room '': invalid name: write name = "),
            ("[[room]]\nname = \"a b\"\n", "zillions.toml:1: room 'a b': invalid name"),
            ("[[room]]\nname = \"a\"\n", "zillions.toml:1: room 'a': it has no address"),
            (&format!("{room}ring_bytes = 100\n"), "zillions.toml:1: room 'a': ring_bytes: "),
            (
                &format!("{room}max_client_lag_bytes = 300\n"),
                "zillions.toml:1: room 'a': max_client_lag_bytes 300 is less than 8192",
            ),
        ] {
            refused(text, expected);
        }
    }
}
