//! A machine that lacks something is told what, and no server is blamed for it. Namespaces make
//! such machines; where they may not be made, those tests say so and end.

use std::fs;

use crate::support::{CLIENT, Ended, STRESSTEST, Script, ZILLIONS, run};
use crate::workspace::{SMALL, Workspace};

/// A shell in namespaces of its own, in which root may do everything; `None` where the system
/// permits none in which `setup` works.
fn elsewhere(setup: &str, command: &str) -> Option<Ended> {
    let namespaces = ["--net", "--mount", "--map-root-user"];
    let shell = |script: &str| run("unshare", &[&namespaces[..], &["sh", "-ec", script]].concat());
    let tried = shell(setup);
    if tried.code != 0 {
        eprintln!("skipped: no namespace in which '{setup}' works: {}", tried.stderr.trim());
        return None;
    }
    Some(shell(&format!("{setup}\n{command}")))
}

fn check(server: &Script, options: &str) -> String {
    format!("'{ZILLIONS}' check '{}' {options}", server.name())
}

/// A finding of `doctor --format json`.
fn finding(ended: &Ended, subject: &str) -> serde_json::Value {
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let findings = json["findings"].as_array().expect("findings");
    findings.iter().find(|it| it["subject"] == subject).expect(subject).clone()
}

/// The doctor, on a gallery of nothing.
fn doctor() -> String {
    format!("'{ZILLIONS}' --impls '{}' doctor --format json", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn few_local_ports_are_told_with_what_to_do() {
    let server = Script::server("");
    let setup = "ip link set lo up; echo 40000 40019 >/proc/sys/net/ipv4/ip_local_port_range";
    let Some(ended) = elsewhere(setup, &check(&server, "--case fanout/ten")) else { return };
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    // A hundred at once: ports of connections that have ended may be taken again, or not yet.
    let Some(ended) = elsewhere(setup, &check(&server, "--case fanout/hundred")) else { return };
    assert_eq!(ended.code, 70, "{}", ended.stdout);
    for text in ["this machine has no local port left", "sysctl -w", "1 errors"] {
        assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
    }
    let stress = format!("'{STRESSTEST}' -a 127.0.0.1:0 -p 8 -s 8 '{}'", server.name());
    let Some(ended) = elsewhere(setup, &stress) else { return };
    assert_eq!(ended.code, 70);
    assert!(ended.line().contains("72 clients need as many local ports"), "{}", ended.line());
    let Some(ended) = elsewhere(setup, &doctor()) else { return };
    let row = finding(&ended, "local ports");
    assert_eq!(row["level"], "advice");
    assert!(row["found"].as_str().expect("text").starts_with("20 free of 40000 to 40019"), "{row}");
    assert!(row["remedy"].as_str().expect("text").contains("sysctl -w"), "{row}");
}

pub(crate) fn a_loopback_device_that_is_down_is_told_with_what_to_do() {
    let server = Script::server("");
    let Some(ended) = elsewhere("true", &check(&server, "--quick")) else { return };
    assert_eq!(ended.code, 70, "{}", ended.stdout);
    assert!(ended.line().contains("ip link set lo up"), "{}", ended.line());
    let Some(ended) = elsewhere("true", &doctor()) else { return };
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(finding(&ended, "IPv4 loopback")["level"], "broken");
}

pub(crate) fn without_ipv6_the_rest_is_checked() {
    let server = Script::server("");
    let setup = "ip link set lo up; echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    let command = check(&server, "--case 'start/*'");
    let Some(ended) = elsewhere(setup, &command) else { return };
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    let Some(ended) = elsewhere(setup, &doctor()) else { return };
    let row = finding(&ended, "IPv6 loopback");
    assert_eq!(row["level"], "advice");
    assert!(row["remedy"].as_str().expect("text").contains("disable_ipv6=0"), "{row}");
    assert_eq!(finding(&ended, "IPv4 loopback")["level"], "good");
}

pub(crate) fn without_proc_memory_is_unknown_and_the_rest_is_checked() {
    let server = Script::server("");
    let setup = "ip link set lo up; mount -t tmpfs none /proc";
    let command = check(&server, "--case memory/stalled-reader --case fanout/ten");
    let Some(ended) = elsewhere(setup, &command) else { return };
    assert_eq!(ended.code, 2, "{}", ended.stdout);
    for text in ["/proc cannot be read", "mount -t proc proc /proc", "1 passed, 1 inconclusive"] {
        assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
    }
    let Some(ended) = elsewhere(setup, &doctor()) else { return };
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(finding(&ended, "/proc")["level"], "broken");
}

pub(crate) fn an_interpreter_that_is_missing_is_named() {
    let server = Script::server("");
    for (first_line, interpreter) in
        [("#!/usr/bin/nope", "/usr/bin/nope"), ("#!/usr/bin/env no-such-python", "no-such-python")]
    {
        fs::write(&server.path, format!("{first_line}\n")).expect("a script");
        let ended = run(ZILLIONS, &["check", &server.name(), "--quick"]);
        assert_eq!(ended.code, 70, "{}", ended.stdout);
        let said = format!("its interpreter '{interpreter}' is not found");
        assert!(ended.stdout.contains(&said), "{}", ended.stdout);
        assert!(!ended.stdout.contains("fail "), "{}", ended.stdout);
        let ended = run(STRESSTEST, &["-a", &server.address(), &server.name()]);
        assert_eq!(ended.code, 70);
        assert!(ended.line().contains(&said), "{}", ended.line());
    }
}

pub(crate) fn local_ports_that_run_out_in_mid_trial_prevent_it_and_are_no_failure_of_the_server() {
    let churn = SMALL
        .replace("senders = 2", "senders = 2\nchurn_per_second = 1000")
        .replace("measure_seconds = 0.2", "measure_seconds = 3");
    let (server, workspace) = (Script::server(""), Workspace::new());
    let scenario = workspace.scenario("churn.toml", &churn);
    let folder = workspace.path("run");
    // Trials begin with the usual ports, and soon have fewer than the 50 connections that churn
    // has at a time.
    let (cache, said) = (workspace.path("cache"), workspace.path("said"));
    let bench = format!(
        "XDG_CACHE_HOME='{cache}' '{ZILLIONS}' bench '{}' --scenario '{scenario}' --out '{folder}' \
         --format json 2>'{said}' &
         until grep -q 'trials, about' '{said}'; do kill -0 $!; sleep 0.01; done
         echo 50000 50007 >/proc/sys/net/ipv4/ip_local_port_range
         wait $! || code=$?; cat '{said}' >&2; exit $code",
        server.name(),
    );
    let Some(ended) = elsewhere("ip link set lo up", &bench) else { return };
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let said = " trials were prevented: this machine has no local port left";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let row = &json["scenarios"][0]["rows"][0];
    let reason = row["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("prevented in 1 of 1 trials: this machine has"), "{reason}");
    assert!(reason.contains("sysctl -w net.ipv4.ip_local_port_range="), "{reason}");
    let report = fs::read_to_string(format!("{folder}/report.html")).expect("a report");
    assert!(report.contains("1 PREVENTED") && !report.contains("1 FAILED"));
    // Where the ports suffice, what was prevented is measured after all.
    let again = workspace.run(&["bench", "--resume", &folder, "--format", "json"]);
    assert!(!again.stderr.contains("prevented"), "{}", again.stderr);
    let json: serde_json::Value = serde_json::from_str(&again.stdout).expect("JSON");
    let row = &json["scenarios"][0]["rows"][0];
    assert_eq!(row["trials"], 1, "{row}");
    assert!(!row["reason"].as_str().unwrap_or_default().contains("prevented"), "{row}");
}

pub(crate) fn the_line_client_says_what_the_machine_lacks() {
    let chat = format!("'{CLIENT}' 127.0.0.1:9 </dev/null");
    let Some(ended) = elsewhere("true", &chat) else { return };
    assert_eq!((ended.code, &*ended.stdout), (70, ""));
    assert_eq!(
        ended.line(),
        "commandline-client: error: cannot connect to 127.0.0.1:9: this machine does not reach \
         that address (Network is unreachable (os error 101)): bring the interface up, for the \
         loopback device with ip link set lo up"
    );
}
