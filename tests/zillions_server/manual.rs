//! What the operator's page says of the options, and of the tests that hold what it promises.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use clap::{Arg, ArgAction, CommandFactory};
use zillions_server::Options;

use crate::support::PROGRAM;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating-zillions-server.md");
const BEGIN: &str = "<!-- options:begin -->\n";
const END: &str = "<!-- options:end -->\n";

fn page() -> String {
    fs::read_to_string(PAGE).expect("the page")
}

/// One row for each option, as the command line and the printed config file have it.
fn table() -> String {
    let printed = Command::new(PROGRAM).arg("--print-config").output().expect("it runs").stdout;
    let printed = String::from_utf8(printed).expect("text");
    let command = Options::command();
    let named = command.get_arguments().filter(|option| option.get_long().is_some());
    let mut table = "| option | table | default | |\n| --- | --- | --- | --- |\n".to_owned();
    for option in named {
        let name = option.get_long().expect("a name");
        let value = option.get_value_names().filter(|_| option.get_action().takes_values());
        let value = value.map(|names| format!(" {}", names[0])).unwrap_or_default();
        let key = table_of(&printed, name).map(|table| format!("`{table}`")).unwrap_or_default();
        let (help, default) = help_and_default(option);
        writeln!(table, "| `--{name}{value}` | {key} | {default} | {help} |").expect("text");
    }
    table
}

/// The table of the config file that has the option as a key.
fn table_of<'a>(printed: &'a str, option: &str) -> Option<&'a str> {
    let key = format!("{} =", option.replace('-', "_"));
    let mut table = None;
    for line in printed.lines() {
        if line.starts_with('[') {
            table = Some(line);
        } else if line.trim_start_matches('#').starts_with(&key) {
            return table;
        }
    }
    None
}

fn help_and_default(option: &Arg) -> (String, String) {
    let help = option.get_help().expect("a help text").to_string().replace('|', "\\|");
    let (help, stated) = match help.split_once(" [default: ") {
        Some((help, rest)) => (help.to_owned(), rest.trim_end_matches(['.', ']']).to_owned()),
        None => (help, String::new()),
    };
    let declared = option.get_default_values().first().and_then(|value| value.to_str());
    let default = match declared.filter(|_| option.get_action().takes_values()) {
        Some(value) => format!("`{value}`"),
        None => stated,
    };
    let values: Vec<_> = option
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let values = match option.get_action() {
        ArgAction::SetTrue => String::new(),
        _ if values.is_empty() => String::new(),
        _ => format!(" One of {}.", values.join(", ")),
    };
    let help = help.trim_end_matches('.');
    (format!("{help}.{values}"), default)
}

#[test]
fn the_table_of_options_is_that_of_the_program() {
    let page = page();
    let (before, rest) = page.split_once(BEGIN).expect("the beginning of the table");
    let (written, after) = rest.split_once(END).expect("its end");
    let table = table();
    assert!(table.lines().count() > 20, "{table}");
    if env::var_os("ZILLIONS_UPDATE").is_some() {
        fs::write(PAGE, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
        return;
    }
    assert_eq!(
        written, table,
        "{PAGE} is out of date: run ZILLIONS_UPDATE=1 cargo test --test zillions_server -- manual"
    );
}

/// A row of the list: who, what, the outcome, and the tests, each as [`name`](file).
#[test]
fn every_threat_has_a_test_that_exists() {
    let page = page();
    let (_, list) = page.split_once("\n## Threats\n").expect("the list");
    let list = list.split("\n## ").next().expect("its text");
    let mut rows = 0;
    let threats = list.lines().filter(|line| line.starts_with("| ")).skip(2);
    for threat in threats {
        rows += 1;
        let tests: Vec<&str> = threat.split("[`").skip(1).collect();
        assert!(!tests.is_empty() || threat.contains("nothing prevents it"), "{threat}");
        for test in tests {
            let (name, rest) = test.split_once("`](").expect("a link");
            let path = rest.split(')').next().expect("its path");
            let file = Path::new(PAGE).parent().expect("a folder").join(path);
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(text.contains(&format!("fn {name}(")), "{path} has no test {name}");
        }
    }
    assert!(rows > 10, "{rows} threats");
}
