//! Names as fragments of an address: `#implementation-NAME`, `#style-NAME`.

use std::collections::{HashMap, HashSet};

use crate::record::TargetRecord;

/// The id of every page: those of the targets, and those of their styles.
#[derive(Debug)]
pub(super) struct Ids {
    targets: HashMap<String, String>,
    styles: HashMap<String, String>,
}

impl Ids {
    /// Ids of letters, digits and dashes; those that would be equal get a number.
    pub(super) fn of(targets: &[TargetRecord]) -> Self {
        Self {
            targets: ids("implementation", targets.iter().map(|target| target.name.as_str())),
            styles: ids("style", targets.iter().map(|target| target.style.as_str())),
        }
    }

    /// The id of the target with this name.
    pub(super) fn get(&self, name: &str) -> String {
        self.targets.get(name).cloned().unwrap_or_default()
    }

    /// The id of the style with this name.
    pub(super) fn style(&self, name: &str) -> String {
        self.styles.get(name).cloned().unwrap_or_default()
    }
}

/// An id for each of `names`, which begins with `kind`.
fn ids<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> HashMap<String, String> {
    let mut taken = HashSet::new();
    let mut ids = HashMap::new();
    for name in names {
        if ids.contains_key(name) {
            continue;
        }
        let mut slug = String::new();
        for c in name.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let base = format!("{kind}-{}", slug.trim_end_matches('-'));
        let mut id = base.clone();
        let mut number = 2;
        while !taken.insert(id.clone()) {
            id = format!("{base}-{number}");
            number += 1;
        }
        ids.insert(name.to_owned(), id);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use crate::record::TargetStatus;

    #[test]
    fn ids_are_plain_and_unique_whatever_the_names() {
        let names = ["std-mpsc", "./a b/server", "a-b-server", "\"><script>", "é", ""];
        let targets: Vec<_> =
            names.map(|name| examples::target(name, "", TargetStatus::Measured)).into();
        let ids = Ids::of(&targets);
        let found = names.map(|name| ids.get(name));
        assert_eq!(found[0], "implementation-std-mpsc");
        assert_eq!(found[1], "implementation-a-b-server");
        assert_eq!(found[2], "implementation-a-b-server-2");
        assert_eq!(found[3], "implementation-script");
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn a_style_has_one_id_for_all_its_targets() {
        let styles = ["threads + channels", "async/await", "threads + channels"];
        let targets: Vec<_> =
            styles.map(|style| examples::target("x", style, TargetStatus::Measured)).into();
        let ids = Ids::of(&targets);
        assert_eq!(ids.style("threads + channels"), "style-threads-channels");
        assert_eq!(ids.style("async/await"), "style-async-await");
    }
}
