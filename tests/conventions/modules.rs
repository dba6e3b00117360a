//! How the files of a crate use one another: along arrows that never run in a circle.
//!
//! The arrows are the paths in the source (`crate::a::B`, `super::B`, `child::B`, groups of
//! `use` included), each led through re-exports to the file that defines the item. Re-exports
//! themselves are no arrows: a crate's root shows what its files hold.

use std::collections::{BTreeMap, BTreeSet};
use std::slice::Iter;

use crate::rust::{Kind, Program, Token, programs_in};
use crate::tree::{Offenders, folders_in};

/// Re-exports followed from one path before it counts as the file reached so far.
const REEXPORTS_FOLLOWED_MAX: usize = 8;

#[test]
fn files_use_one_another_in_no_circle() {
    let mut offenders = Offenders::of(
        "in a circle of files none can be read, tested or moved without all others: move what \
         they share into a file below them, or merge what is one thing",
    );
    let crates = folders_in("crates").into_iter().map(|name| format!("crates/{name}/src"));
    for folder in std::iter::once("src".to_owned()).chain(crates) {
        offenders.look();
        let modules = Modules::read(programs_in(&folder), &folder);
        for circle in modules.arrows().circles() {
            let paths: Vec<&str> = circle.iter().map(|path| modules.file(path)).collect();
            offenders.add(paths[0], 1, format!("uses itself by way of {}", paths.join(" -> ")));
        }
    }
    offenders.assert_none();
}

#[test]
fn no_command_uses_another() {
    let mut offenders = Offenders::of(
        "a command is one file, with what only it needs below it: what two commands share is a \
         module beside src/commands",
    );
    let modules = Modules::read(programs_in("src"), "src");
    for (user, used) in modules.arrows().0 {
        let [commands, command, ..] = user.as_slice() else { continue };
        if commands != "commands" {
            continue;
        }
        offenders.look();
        for other in used.iter().filter(|it| it.len() > 1 && it[0] == "commands") {
            if other[1] != *command {
                offenders.add(modules.file(&user), 1, format!("uses {}", modules.file(other)));
            }
        }
    }
    offenders.assert_none();
}

/// Where a module stands in its crate: the names from the root down.
type ModulePath = Vec<String>;

/// The files of a crate, by module.
struct Modules {
    programs: BTreeMap<ModulePath, Program>,
    /// What each shows under a name that is not its own, and where that really is.
    reexports: BTreeMap<ModulePath, BTreeMap<String, ModulePath>>,
}

impl Modules {
    fn read(programs: Vec<Program>, folder: &str) -> Self {
        let own = |program: &Program| !program.path.starts_with(&format!("{folder}/bin/"));
        let programs: BTreeMap<_, _> = programs
            .into_iter()
            .filter(own)
            .map(|program| (module_path(program.path, folder), program))
            .collect();
        let mut modules = Self { programs, reexports: BTreeMap::new() };
        let found: Vec<_> = modules
            .programs
            .iter()
            .map(|(module, program)| (module.clone(), modules.reexports_of(module, program)))
            .collect();
        modules.reexports.extend(found);
        modules
    }

    fn file(&self, module: &ModulePath) -> &str {
        self.programs[module].path
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::default();
        for (module, program) in &self.programs {
            let targets = arrows.0.entry(module.clone()).or_default();
            for path in self.paths(module, program.tokens, Wanted::Uses) {
                targets.extend(self.definer(path.items).filter(|it| it != module));
            }
        }
        arrows
    }

    fn reexports_of(&self, module: &ModulePath, program: &Program) -> BTreeMap<String, ModulePath> {
        let paths = self.paths(module, program.tokens, Wanted::Reexports);
        paths.into_iter().map(|path| (path.shown_as, path.items)).collect()
    }

    /// The module that defines what the path names, led through re-exports.
    fn definer(&self, mut path: ModulePath) -> Option<ModulePath> {
        for _ in 0..REEXPORTS_FOLLOWED_MAX {
            let length =
                (0..=path.len()).rev().find(|&it| self.programs.contains_key(&path[..it]))?;
            let module = path[..length].to_vec();
            let shown = path.get(length).and_then(|name| self.reexports.get(&module)?.get(name));
            let Some(shown) = shown else { return Some(module) };
            path = shown.iter().chain(&path[length + 1..]).cloned().collect();
        }
        None
    }

    /// Every path in `tokens` that starts at this crate, from its root.
    fn paths(&self, module: &ModulePath, tokens: &[Token], wanted: Wanted) -> Vec<NamedPath> {
        let mut paths = Vec::new();
        let mut reexport = false;
        for (index, token) in tokens.iter().enumerate() {
            let before =
                |back: usize| index.checked_sub(back).map_or("", |it| tokens[it].text.as_str());
            match token.text.as_str() {
                "use" => reexport = matches!(before(1), "pub" | ")"),
                ";" => reexport = false,
                _ => {}
            }
            // Neither the rest of a path nor `pub(in path)`, which only says who sees an item.
            let starts = token.kind == Kind::Word
                && !(before(1) == ":" && before(2) == ":")
                && before(1) != "in";
            if !starts || (wanted == Wanted::Reexports) != reexport {
                continue;
            }
            // A word inside a group was read with the group's head.
            if let Some(head) = self.head(module, &token.text)
                && followed_by_path(&tokens[index + 1..])
            {
                let mut rest = tokens[index + 1..].iter();
                read_tree(&mut rest, head, &mut paths);
            }
        }
        paths
    }

    /// The module that the first word of a path means.
    fn head(&self, module: &ModulePath, word: &str) -> Option<ModulePath> {
        match word {
            "crate" => Some(Vec::new()),
            "self" => Some(module.clone()),
            "super" => module.split_last().map(|(_, parents)| parents.to_vec()),
            child => {
                let path: ModulePath = module.iter().cloned().chain([child.to_owned()]).collect();
                self.programs.contains_key(&path).then_some(path)
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Uses,
    Reexports,
}

/// One path, and the name it gives to what it ends at.
struct NamedPath {
    items: ModulePath,
    shown_as: String,
}

fn module_path(path: &str, folder: &str) -> ModulePath {
    let inside = path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/');
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    match inside {
        "lib" => Vec::new(),
        inside => inside.split('/').map(str::to_owned).collect(),
    }
}

fn followed_by_path(tokens: &[Token]) -> bool {
    matches!(tokens, [first, second, ..] if first.text == ":" && second.text == ":")
}

/// Reads what follows a path's head: `::word…`, `::{group}` or `::*`.
fn read_tree(tokens: &mut Iter<'_, Token>, head: ModulePath, paths: &mut Vec<NamedPath>) {
    let mut path = head;
    while followed_by_path(tokens.as_slice()) {
        tokens.nth(1);
        match tokens.next() {
            Some(token) if token.text == "super" => drop(path.pop()),
            Some(token) if token.kind == Kind::Word => path.push(token.text.clone()),
            Some(token) if token.text == "{" => return read_group(tokens, &path, paths),
            _ => break,
        }
    }
    let mut shown_as = path.last().cloned().unwrap_or_default();
    if let [word, name, ..] = tokens.as_slice()
        && word.text == "as"
    {
        shown_as = name.text.clone();
        tokens.nth(1);
    }
    paths.push(NamedPath { items: path, shown_as });
}

fn read_group(tokens: &mut Iter<'_, Token>, head: &ModulePath, paths: &mut Vec<NamedPath>) {
    while let Some(token) = tokens.next() {
        match token.text.as_str() {
            "}" => return,
            "," => {}
            "self" => paths.push(NamedPath {
                items: head.clone(),
                shown_as: head.last().cloned().unwrap_or_default(),
            }),
            word => {
                let path = head.iter().cloned().chain([word.to_owned()]).collect();
                read_tree(tokens, path, paths);
            }
        }
    }
}

/// Which module uses which.
#[derive(Default)]
struct Arrows(BTreeMap<ModulePath, BTreeSet<ModulePath>>);

impl Arrows {
    /// Circles, no two of which share a module: each once, starting with its first.
    fn circles(mut self) -> Vec<Vec<ModulePath>> {
        let mut circles = Vec::new();
        while let Some(circle) = self.circle() {
            for module in &circle {
                self.0.remove(module);
            }
            circles.push(circle);
        }
        circles
    }

    fn circle(&mut self) -> Option<Vec<ModulePath>> {
        // Who uses nobody is in no circle.
        loop {
            let known: BTreeSet<ModulePath> = self.0.keys().cloned().collect();
            for targets in self.0.values_mut() {
                targets.retain(|target| known.contains(target));
            }
            let before = self.0.len();
            self.0.retain(|_, targets| !targets.is_empty());
            if self.0.len() == before {
                break;
            }
        }
        // Everybody left leads on, so a walk comes back to where it has been.
        let mut walk = vec![self.0.keys().next()?.clone()];
        loop {
            let next = self.0[walk.last()?].first()?.clone();
            if let Some(start) = walk.iter().position(|module| *module == next) {
                walk.drain(..start);
                return Some(walk);
            }
            walk.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust::program;

    fn circles(files: &[(&'static str, &str)]) -> Vec<String> {
        let programs = files.iter().map(|(path, text)| program(path, text)).collect();
        let modules = Modules::read(programs, "src");
        let circles = modules.arrows().circles();
        circles
            .into_iter()
            .map(|it| it.iter().map(|path| path.join("::")).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn circles_are_found_through_groups_re_exports_and_children() {
        let direct = [
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "use crate::{b::{self, B}};"),
            ("src/b.rs", "fn f() { super::a::g() }"),
        ];
        assert_eq!(circles(&direct), ["a b"]);
        let by_the_root = [
            ("src/lib.rs", "mod a; mod b; pub use b::{B as Shown};"),
            ("src/a.rs", "use crate::Shown;"),
            ("src/b.rs", "use crate::a::A;"),
        ];
        assert_eq!(circles(&by_the_root), ["a b"]);
        let parent_and_child = [
            ("src/lib.rs", "mod a;"),
            ("src/a.rs", "mod child; fn f() { child::g() }"),
            ("src/a/child.rs", "use super::f;"),
        ];
        assert_eq!(circles(&parent_and_child), ["a a::child"]);
    }

    #[test]
    fn arrows_that_only_run_down_are_no_circle() {
        let files = [
            ("src/lib.rs", "mod a; mod b; pub use a::A; pub(crate) use b::B;"),
            ("src/a.rs", "mod child; use crate::B; fn f() { child::g(); self::h() }"),
            ("src/a/child.rs", "use crate::b; use std::fmt;"),
            ("src/b.rs", "#[cfg(test)] mod tests { use crate::A; }"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }
}
