//! What is measured if nobody says what: one entry of each style.

use zillions_harness::manifest::{Entry, STYLES};
use zillions_harness::toolchain::Toolchain;

use crate::building;

/// One entry of each style.
pub(super) struct Representatives {
    pub(super) entries: Vec<Entry>,
    /// How many entries of the whole gallery can be built here.
    pub(super) buildable: usize,
}

/// One entry of each style that can be built here: the representative, or else the first whose
/// tool chain is present. All representatives if there is no tool chain at all, so that the reasons
/// are told.
pub(super) fn choose(gallery: &[Entry]) -> Representatives {
    let toolchains = building::probe_all(gallery);
    let is_present: Vec<bool> =
        toolchains.iter().map(|it| matches!(it, Toolchain::Present { .. })).collect();
    let buildable = is_present.iter().filter(|&&it| it).count();
    Representatives { entries: of_each_style(gallery, &is_present), buildable }
}

fn of_each_style(gallery: &[Entry], is_present: &[bool]) -> Vec<Entry> {
    let of_style = |style: &str| {
        let mut candidates: Vec<(&Entry, bool)> = gallery
            .iter()
            .zip(is_present.iter().copied())
            .filter(|(entry, _)| entry.manifest.style == style)
            .collect();
        candidates.sort_by_key(|(entry, _)| !entry.manifest.representative);
        candidates
    };
    let present = STYLES.iter().filter_map(|style| {
        of_style(style).into_iter().find(|(_, is_present)| *is_present).map(|(entry, _)| entry)
    });
    let present: Vec<Entry> = present.cloned().collect();
    if !present.is_empty() {
        return present;
    }
    gallery.iter().filter(|entry| entry.manifest.representative).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn entry(name: &str, style: &str, representative: bool) -> Entry {
        let manifest = format!(
            "summary = 's'\nlanguage = 'L'\nstyle = '{style}'\nrepresentative = {representative}\n\
             library = 'std'\nurl = 'u'\nsources = ['s']\nbuild = ''\nrun = ['./server']\n\
             slow_reader = 'block'\nqueue_limit = 1\n"
        );
        let manifest = toml::from_str(&manifest).expect("a manifest");
        Entry { name: name.to_owned(), directory: PathBuf::new(), sources: Vec::new(), manifest }
    }

    fn names(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn each_style_has_its_representative_or_who_can_be_built_instead_of_it() {
        let gallery = [
            entry("amy", "actors", false),
            entry("erlang", "actors", true),
            entry("gjio", "promises", true),
            entry("libmill", "CSP", false),
        ];
        let chosen = |present: [bool; 4]| of_each_style(&gallery, &present);
        assert_eq!(names(&chosen([true, true, true, true])), ["gjio", "libmill", "erlang"]);
        assert_eq!(names(&chosen([true, false, true, false])), ["gjio", "amy"]);
        assert_eq!(names(&chosen([false; 4])), ["erlang", "gjio"], "to tell the reasons");
    }
}
