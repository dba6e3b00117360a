//! Names of targets as fragments of an address: `#implementation-NAME`.

use std::collections::{HashMap, HashSet};

use crate::record::TargetRecord;

/// The id of every target's page.
#[derive(Debug)]
pub(super) struct Ids(HashMap<String, String>);

impl Ids {
    /// Ids of letters, digits and dashes; those that would be equal get a number.
    pub(super) fn of(targets: &[TargetRecord]) -> Self {
        let mut taken = HashSet::new();
        let mut ids = HashMap::new();
        for target in targets {
            let mut slug = String::new();
            for c in target.name.chars() {
                if c.is_ascii_alphanumeric() {
                    slug.push(c.to_ascii_lowercase());
                } else if !slug.is_empty() && !slug.ends_with('-') {
                    slug.push('-');
                }
            }
            let base = format!("implementation-{}", slug.trim_end_matches('-'));
            let mut id = base.clone();
            let mut number = 2;
            while !taken.insert(id.clone()) {
                id = format!("{base}-{number}");
                number += 1;
            }
            ids.insert(target.name.clone(), id);
        }
        Self(ids)
    }

    /// The id of the target with this name.
    pub(super) fn get(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }
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
}
