//! Which entries of the gallery a command is about: names, and what they have in common.

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use zillions_harness::manifest::{Entry, Manifest, STYLES, TAGS};

/// What stands in front of a pattern that takes away.
const NOT: char = '!';

/// How many names are suggested at most where none is right.
const SUGGESTIONS_MAX: usize = 3;

const FILTERS: &str = "Which entries (globs, may be repeated; '!GLOB' takes away)";

/// Entries by what they are. Patterns of one option add up; several options must all match; a
/// pattern with `!` takes away, whatever selected an entry.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// Entries of this style, such as CSP or 'threads*'.
    #[arg(long, value_name = "GLOB", help_heading = FILTERS)]
    style: Vec<String>,
    /// Entries in this language.
    #[arg(long, value_name = "GLOB", help_heading = FILTERS)]
    language: Vec<String>,
    /// Entries with this library, or std for the language's own.
    #[arg(long, value_name = "GLOB", help_heading = FILTERS)]
    library: Vec<String>,
    /// Entries with this tag; docs/impl-toml.md lists them.
    #[arg(long, value_name = "GLOB", help_heading = FILTERS)]
    tag: Vec<String>,
}

/// A property that filters look at.
struct Property {
    option: &'static str,
    of: fn(&Manifest) -> Vec<String>,
}

const PROPERTIES: [Property; 4] = [
    Property { option: "style", of: |it| vec![it.style.clone()] },
    Property { option: "language", of: |it| vec![it.language.clone()] },
    Property { option: "library", of: library },
    Property { option: "tag", of: |it| it.tags.clone() },
];

/// The library as it is written, and without its version.
fn library(manifest: &Manifest) -> Vec<String> {
    let whole = manifest.library.clone();
    let first = whole.split([' ', ',']).next().unwrap_or_default().to_owned();
    vec![whole, first]
}

impl Filters {
    /// Whether no filter was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns().iter().all(|patterns| patterns.is_empty())
    }

    /// In the order of [`PROPERTIES`].
    fn patterns(&self) -> [&[String]; PROPERTIES.len()] {
        [&self.style, &self.language, &self.library, &self.tag]
    }
}

/// A pattern of the command line.
struct Pattern {
    takes_away: bool,
    matcher: GlobMatcher,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (takes_away, glob) = match text.strip_prefix(NOT) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let glob = GlobBuilder::new(glob)
            .case_insensitive(true)
            .build()
            .map_err(|error| format!("'{text}' is not a valid pattern: {}", error.kind()))?;
        Ok(Self { takes_away, matcher: glob.compile_matcher() })
    }

    fn matches(&self, values: &[String]) -> bool {
        values.iter().any(|value| self.matcher.is_match(value))
    }
}

/// The entries of `gallery` that `names` and `filters` select, in the order of the names and then
/// of the gallery; all if neither is given.
///
/// # Errors
/// One line for a pattern that matches nothing, or when nothing is left.
pub(crate) fn select(
    gallery: &[Entry],
    names: &[String],
    filters: &Filters,
) -> Result<Vec<Entry>, String> {
    let names = patterns_of_names(gallery, names)?;
    let filters = patterns_of_filters(gallery, filters)?;
    let adding = |patterns: &[Pattern]| patterns.iter().any(|it| !it.takes_away);
    let any_name = adding(&names);
    let any_filter = filters.iter().any(|patterns| adding(patterns));
    let is_taken_away = |entry: &Entry| {
        let by = |patterns: &[Pattern], values: &[String]| {
            patterns.iter().any(|it| it.takes_away && it.matches(values))
        };
        by(&names, std::slice::from_ref(&entry.name))
            || PROPERTIES
                .iter()
                .zip(&filters)
                .any(|(property, patterns)| by(patterns, &(property.of)(&entry.manifest)))
    };
    let passes_filters = |entry: &Entry| {
        PROPERTIES.iter().zip(&filters).filter(|(_, patterns)| adding(patterns)).all(
            |(property, patterns)| {
                let values = (property.of)(&entry.manifest);
                patterns.iter().any(|it| !it.takes_away && it.matches(&values))
            },
        )
    };
    let mut selected: Vec<&Entry> = Vec::new();
    for pattern in names.iter().filter(|it| !it.takes_away) {
        selected
            .extend(gallery.iter().filter(|it| pattern.matches(std::slice::from_ref(&it.name))));
    }
    if any_filter || !any_name {
        selected.extend(gallery.iter().filter(|entry| passes_filters(entry)));
    }
    let mut seen = std::collections::HashSet::new();
    selected.retain(|entry| !is_taken_away(entry) && seen.insert(&entry.name));
    if selected.is_empty() {
        return Err("no entry is left by these names and filters: 'zillions list' shows the \
                    gallery"
            .to_owned());
    }
    Ok(selected.into_iter().cloned().collect())
}

fn patterns_of_names(gallery: &[Entry], names: &[String]) -> Result<Vec<Pattern>, String> {
    let parse = |name: &String| {
        let pattern = Pattern::parse(name)?;
        if gallery.iter().any(|entry| pattern.matches(std::slice::from_ref(&entry.name))) {
            return Ok(pattern);
        }
        let known = gallery.iter().map(|entry| entry.name.as_str());
        Err(format!("no implementation is called '{name}': {}", hint(name, known)))
    };
    names.iter().map(parse).collect()
}

/// What may have been meant.
fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const ALL: &str = "'zillions list' shows all names";
    if std::path::Path::new(name).is_file() {
        return format!("for the executable in this folder write ./{name}");
    }
    match similar(name.trim_start_matches(NOT), known).as_slice() {
        [] => ALL.to_owned(),
        names => format!("did you mean {}? {ALL}", names.join(" or ")),
    }
}

/// The names of `known` that `name` may be a slip for, the nearest first.
fn similar<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    // In a short name two slips could make any other.
    let slips_max = (name.chars().count() / 3).max(1);
    let slips = |known: &'a str| (strsim::damerau_levenshtein(&name, known), known);
    let mut similar: Vec<_> = known.map(slips).filter(|(slips, _)| *slips <= slips_max).collect();
    similar.sort_unstable();
    similar.into_iter().take(SUGGESTIONS_MAX).map(|(_, known)| known).collect()
}

fn patterns_of_filters(gallery: &[Entry], filters: &Filters) -> Result<Vec<Vec<Pattern>>, String> {
    let of = |(property, texts): (&Property, &[String])| {
        texts.iter().map(|text| pattern_of_filter(gallery, property, text)).collect()
    };
    PROPERTIES.iter().zip(filters.patterns()).map(of).collect()
}

fn pattern_of_filter(
    gallery: &[Entry],
    property: &Property,
    text: &str,
) -> Result<Pattern, String> {
    let pattern = Pattern::parse(text)?;
    if gallery.iter().any(|entry| pattern.matches(&(property.of)(&entry.manifest))) {
        return Ok(pattern);
    }
    let closed_list: &[&str] = match property.option {
        "style" => &STYLES,
        "tag" => &TAGS,
        _ => &[],
    };
    let mut known: Vec<String> = closed_list.iter().map(|&it| it.to_owned()).collect();
    if known.is_empty() {
        known = gallery.iter().flat_map(|entry| (property.of)(&entry.manifest)).collect();
        known.sort_unstable();
        known.dedup();
    }
    Err(format!("no entry matches --{} '{text}': known are {}", property.option, known.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        names: Vec<String>,
        #[command(flatten)]
        filters: Filters,
    }

    fn gallery() -> Vec<Entry> {
        let entry = |(name, language, style, library, tags): (&str, &str, &str, &str, &str)| {
            let manifest = format!(
                "summary = 's'\nlanguage = '{language}'\nstyle = '{style}'\ntags = [{tags}]\n\
                 library = '{library}'\nurl = 'u'\nsources = ['s']\nbuild = ''\n\
                 run = ['./server']\nslow_reader = 'block'\nqueue_limit = 1\n"
            );
            let manifest = toml::from_str(&manifest).expect("a manifest");
            Entry {
                name: name.to_owned(),
                directory: PathBuf::new(),
                sources: Vec::new(),
                manifest,
            }
        };
        [
            ("amy", "Rust", "actors", "amy 0.10", "'many-threads', 'unmaintained'"),
            ("curio", "Python", "async/await", "curio", "'one-thread'"),
            ("go-cond", "Go", "threads + locks", "std", "'many-threads'"),
            ("go-goroutines", "Go", "CSP", "std", "'many-threads'"),
            ("libmill", "C", "CSP", "libmill", "'one-thread', 'unmaintained'"),
            ("tokio-core", "Rust", "futures", "tokio-core 0.1.18", "'one-thread', 'unmaintained'"),
        ]
        .map(entry)
        .to_vec()
    }

    /// The names that `line` selects, or the error.
    fn selected(line: &str) -> Result<String, String> {
        let line = Line::parse_from(std::iter::once("zillions").chain(line.split(' ')));
        let found = select(&gallery(), &line.names, &line.filters)?;
        let names: Vec<String> = found.into_iter().map(|entry| entry.name).collect();
        Ok(names.join(" "))
    }

    #[test]
    fn names_and_filters_add_up_and_exclamation_marks_take_away() {
        for (line, expected) in [
            ("libmill amy", "libmill amy"),
            ("go-*", "go-cond go-goroutines"),
            ("!go-*", "amy curio libmill tokio-core"),
            ("--style csp", "go-goroutines libmill"),
            ("--style threads* --style futures", "go-cond tokio-core"),
            ("--style async/await", "curio"),
            ("--style CSP --language !C", "go-goroutines"),
            ("--style CSP --tag unmaintained", "libmill"),
            ("--library tokio-core", "tokio-core"),
            ("--library std", "go-cond go-goroutines"),
            ("--tag !unmaintained --language !Go", "curio"),
            ("amy --style CSP", "amy go-goroutines libmill"),
            ("libmill --style CSP", "libmill go-goroutines"),
            ("go-* !go-cond", "go-goroutines"),
        ] {
            assert_eq!(selected(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn the_nearest_names_are_suggested_and_few_of_them() {
        let known = ["mio", "mioco", "smol", "amy", "go-cond", "go-con", "go-cone", "go-cons"];
        for (name, expected) in [
            ("moi", "mio"),
            ("mico", "mio mioco"),
            ("smoll", "smol"),
            ("go-cnd", "go-cond go-con go-cone"),
            ("xyz", ""),
            ("", ""),
        ] {
            assert_eq!(similar(name, known.into_iter()).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn a_pattern_that_nothing_matches_is_told_with_what_is_known() {
        for (line, expected) in [
            (
                "goroutines",
                "no implementation is called 'goroutines': did you mean go-goroutines? 'zillions list'",
            ),
            ("!AYM", "no implementation is called '!AYM': did you mean amy? 'zillions list' shows"),
            ("nosuch", "no implementation is called 'nosuch': 'zillions list' shows all names"),
            ("--style CPS", "no entry matches --style 'CPS': known are threads + channels"),
            ("--language !Ruby", "no entry matches --language '!Ruby': known are C, Go, Python"),
            ("--tag fast", "no entry matches --tag 'fast': known are one-thread"),
            ("amy !amy", "no entry is left by these names and filters"),
            ("--style a[", "'a[' is not a valid pattern: "),
        ] {
            let error = selected(line).expect_err(line);
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
