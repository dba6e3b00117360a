//! Words and phrases that do not come back: private names, and English that an engineer would
//! not write.
//!
//! The text of every file counts, comments included, for a name that lives on in a comment
//! lives on in heads.

use regex::Regex;

use crate::tree::{Exceptions, File, Offenders, files};

/// A phrase that was retired.
struct Retired {
    /// A regular expression; it is matched from and to the bounds of words.
    pattern: &'static str,
    /// A text in which it is found, which proves that the pattern finds anything.
    sample: &'static str,
    /// The same as it is written now.
    instead: &'static str,
}

const fn retired(pattern: &'static str, sample: &'static str, instead: &'static str) -> Retired {
    Retired { pattern, sample, instead }
}

/// Phrases that paraphrase a term, or translate an idiom.
const PHRASES: &[Retired] = &[
    retired(
        r"is no (?:valid|scenario|pattern|case|number|folder|file|history|connection|address|port|name|fault|executable|results|public|[A-Z]{3,})",
        "'x' is no pattern for cases",
        "invalid case pattern 'x'",
    ),
    retired(r"are no (?:valid|numbers|names|files)", "these are no names", "invalid names"),
    retired(r"(?i)cannot be had", "0 clients cannot be had", "clients must be 1 to 20000 (got 0)"),
    retired(
        r"(?:[0-9]+ ?(?:ns|µs|ms|s)|latency|time) in the middle",
        "105 µs in the middle",
        "median 105 µs",
    ),
    retired(r"(?:so|how)-manieth", "the so-manieth message", "the n-th message"),
    retired(r"(?i)what (?:comes|came) of", "What comes of it", "The result"),
    retired(r"(?i)what is made of", "what is made of a server", "the verdict on a server"),
    retired(r"(?i)whoever", "Whoever reads", "A client that reads"),
    retired(r"(?i)newcomers?", "refuses newcomers", "refuses new connections"),
    retired(r"look(?:s|ed|ing)? away", "the shard looks away", "the shard delays its next pass"),
    retired(r"(?i)mend(?:s|ed|ing)?", "2 findings need mending", "2 problems"),
    retired(r"(?i)in vain", "waited in vain", "timed out"),
    retired(r"(?i)to the letter", "the same to the letter", "unchanged"),
    retired(r"(?i)do their work", "The cases that do their work", "The cases that test it"),
    retired(r"stands twice", "the name stands twice", "duplicate name"),
    retired(r"each time again", "it is read each time again", "it is read every time"),
    retired(r"gives? (?:it|each|them) (?:its|their) place", "gives it its place", "sequences it"),
    retired(r"broken off", "a case that is broken off", "a case that is aborted"),
    retired(r"turned away", "a client is turned away", "a client is rejected"),
    retired(r"(?i)processor time", "processor time per delivery", "CPU time per delivery"),
    retired(r"(?:go|gone) on with", "go on with a run", "resume a run"),
    retired(r"at the door", "waits at the door", "waits in the accept backlog"),
    retired(
        r"outr(?:a|u)ns? the (?:load )?generator",
        "it outruns the load generator",
        "it is generator-bound",
    ),
    retired(r"(?i)where chance begins", "Where chance begins", "Random seed"),
    retired(r"(?i)for people or for programs", "For people or for programs", "Output format"),
];

/// Names of our own that gave way to the field's terms, where they meet the outside or could be
/// mistaken for the new ones.
const NAMES: &[Retired] = &[
    retired(r"House|Desk|Newcomer|Farewell", "pub struct House", "pub struct Shared"),
    retired(r"Rooms:", "//! Rooms: [`ring`]", "//! Modules: [`ring`]"),
    retired(r"&mut Room|Room::open", "fn two(room: &mut Room)", "fn two(fixture: &mut Fixture)"),
    retired(r"fn (?:insist|settle|sip)", "fn insist(&mut self)", "fn await_served(&mut self)"),
    retired(r"Stretch|waited_in_vain|(?:is_)?leisurely", "is_leisurely()", "waits_mostly()"),
    retired(r"Omission|Deed", "Shows::Omission", "Shows::Timeout"),
    retired(r"--gauge|--peers", "bench --peers", "bench --brokers"),
    retired(
        r"--rest-microseconds-max",
        "--rest-microseconds-max 0",
        "--max-coalesce-microseconds 0",
    ),
    retired(
        r"--(?:client-lag-bytes|unsent-bytes|clients|clients-per-ip)-max|--(?:client-lag|unsent)-bytes",
        "--client-lag-bytes-max",
        "--max-client-lag-bytes",
    ),
    retired(
        r"zillions_(?:joined|gone|refused|rests|wakeups)_total|zillions_lag_bytes_max",
        "zillions_rests_total",
        "zillions_coalesced_passes_total",
    ),
    retired(r"headline", "headline = \"latency\"", "rank_by = \"latency\""),
    retired(r"visitors?|clients_as_allowed|tiny_bytes", "visitors = 10", "churn_per_second = 10"),
    retired("\"(?:came|again)\"", "{\"came\": 1}", "{\"actual\": 1}"),
    retired(r"latency\.p(?:50|90|99|999)_ns", "latency.p99_ns", "latency.arrived_p99_ns"),
];

/// Where a retired word is right, and why.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Files that are not ours to word.
fn is_ours(file: &File) -> bool {
    !matches!(file.extension(), "lock" | "sum" | "patch")
        && !file.name().starts_with("LICENSE")
        // It quotes every phrase.
        && file.path != "tests/conventions/english.rs"
}

/// A file's text with each paragraph on one line, so that a phrase is found where it wraps.
struct Prose {
    text: String,
    /// The offset in `text` at which each line of the file starts.
    starts: Vec<usize>,
}

impl Prose {
    fn of(file: &str) -> Self {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for line in file.lines() {
            // Indentation and the signs of a comment.
            let words = line.trim_start_matches(['/', '!', '#', '%', '*', '>', ' ', '\t']);
            starts.push(text.len());
            text.push_str(words);
            text.push(if words.is_empty() { '\n' } else { ' ' });
        }
        // There is nothing wrong with "there is no such file". The length stays the same.
        let text = text.replace("here is no ", "here is_no ");
        Self { text, starts }
    }

    /// The number of the line that holds the byte at `offset`, from 1.
    fn line_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }
}

fn compile(phrase: &Retired) -> Regex {
    let bounded = format!(r"(?:^|[^\w-])({})(?:$|[^\w-])", phrase.pattern);
    Regex::new(&bounded).unwrap_or_else(|error| panic!("{}: {error}", phrase.pattern))
}

#[test]
fn retired_words_and_phrases_do_not_come_back() {
    let mut offenders = Offenders::of("a term of the field says it in fewer words, and is found");
    let mut exceptions = Exceptions::new(EXCEPTIONS);
    let phrases: Vec<(Regex, &Retired)> =
        PHRASES.iter().chain(NAMES).map(|phrase| (compile(phrase), phrase)).collect();
    for file in files().iter().filter(|file| is_ours(file)) {
        offenders.look();
        let prose = Prose::of(&file.text);
        for (pattern, phrase) in &phrases {
            for found in pattern.captures_iter(&prose.text) {
                let words = found.get(1).expect("each pattern has one group");
                if !exceptions.cover(&format!("{}: {}", file.path, words.as_str())) {
                    let what = format!("'{}': now '{}'", words.as_str(), phrase.instead);
                    offenders.add(&file.path, prose.line_at(words.start()), what);
                }
            }
        }
    }
    exceptions.report_unused(&mut offenders);
    offenders.assert_none();
}

#[test]
fn each_pattern_finds_its_phrase_and_not_what_replaced_it() {
    for phrase in PHRASES.iter().chain(NAMES) {
        let pattern = compile(phrase);
        assert!(pattern.is_match(phrase.sample), "{} misses its sample", phrase.pattern);
        assert!(!pattern.is_match(phrase.instead), "{} finds its successor", phrase.pattern);
    }
}

#[test]
fn a_phrase_that_wraps_is_found_on_the_line_where_it_begins() {
    let phrase = retired(r"each time again", "each time again", "every time");
    let prose = Prose::of("/// First.\n///\n/// It is read each\n/// time again.\n");
    let found = compile(&phrase).captures(&prose.text).expect("it is there");
    assert_eq!(prose.line_at(found.get(1).expect("the group").start()), 3);
    assert!(!compile(&phrase).is_match(&Prose::of("each time\n\nagain").text), "two paragraphs");
}
