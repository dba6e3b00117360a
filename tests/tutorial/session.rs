//! Sessions with the tools: they end as a chapter shows them, with the output that it shows.

use zillions_testing::first_missing;

use crate::chapter::{Chapter, Language, Session};
use crate::steps::Steps;

/// Whether a session says that the target failed; otherwise it says that it passed.
pub(crate) fn shows_failure(session: &Session) -> bool {
    let says = |verdict: &str| session.output.iter().any(|line| line.contains(verdict));
    let (fails, passes) = (says(": fail ("), says(": pass ("));
    assert!(fails != passes, "line {}: the session shows no verdict, or two", session.line);
    fails
}

/// The cases that a chapter shows to fail in its program, in one language.
pub(crate) fn cases(chapter: &Chapter, language: Language) -> Vec<String> {
    cases_of(chapter, language, chapter.number, true)
}

fn cases_of(chapter: &Chapter, language: Language, step: usize, fails: bool) -> Vec<String> {
    let sessions = chapter.sessions();
    let checks = sessions.iter().filter(|it| it.tool() == "check");
    let of_step = checks.filter(|it| it.programs().any(|program| program == (language, step)));
    let so = of_step.filter(|it| shows_failure(it) == fails);
    so.flat_map(|it| it.cases().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Fails unless the chapter shows, in each language, that its program fails a case and that the
/// next one passes it.
pub(crate) fn names_a_case(chapter: &Chapter) {
    for language in [Language::Rust, Language::Python] {
        if language.text(chapter.number + 1).is_none() {
            continue;
        }
        let fails = cases(chapter, language);
        let passes = cases_of(chapter, language, chapter.number + 1, false);
        assert!(!fails.is_empty(), "{}: no case fails in {language:?}", chapter.file);
        let left = fails.iter().find(|case| !passes.contains(case));
        assert_eq!(left, None, "{}: it is not shown to pass in {language:?}", chapter.file);
    }
}

/// Runs what the session shows, and compares how it ends and what it prints.
pub(crate) fn run(session: &Session, steps: &Steps) {
    let Some(ended) = steps.run(&session.command, session.programs()) else { return };
    let (line, output) = (session.line, &ended.stdout);
    let expected = match session.tool() {
        "check" => i32::from(shows_failure(session)),
        // On a busy machine nothing may be ranked, and a trial may fail; the page has no figures.
        "bench" if [1, 2].contains(&ended.code) => ended.code,
        _ => 0,
    };
    assert_eq!(ended.code, expected, "line {line}: {output}{}", ended.stderr);
    let missing = first_missing(&session.output, output);
    assert!(missing.is_none(), "line {line}: {missing:?} is not in the output:\n{output}");
}

/// Fails unless the last chapter checks its last program with all cases; that session is a test,
/// as every other is.
pub(crate) fn ends_with_the_whole_suite(chapter: &Chapter) {
    let command = format!("zillions check ./step{} --strict", chapter.number + 1);
    let sessions = chapter.sessions();
    let whole = sessions.iter().find(|session| session.command == command);
    assert!(whole.is_some_and(|it| !shows_failure(it)), "{}: no '{command}'", chapter.file);
}

/// Fails unless a step passes the cases, with the SHOULD clauses among them.
pub(crate) fn passes(steps: &Steps, language: Language, step: usize, cases: &[String]) {
    let mut command = format!("zillions check ./{} --strict", language.program(step));
    for case in cases {
        command.push_str(&format!(" --case {case}"));
    }
    let Some(ended) = steps.run(&command, [(language, step)]) else { return };
    assert_eq!(ended.code, 0, "{command}: {}{}", ended.stdout, ended.stderr);
}
