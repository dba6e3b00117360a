//! `report --figures` and `--svg`, and what `gallery-docs` makes of committed results.

use std::fs;
use std::path::Path;

use zillions_report::examples;
use zillions_report::gallery_results::GalleryResults;
use zillions_report::results::Results;

use crate::support::{Ended, ZILLIONS, run};

const PAGE: &str = "# fast\n\n## Performance\n\nA hop costs.\n";
const README: &str = "# Test\n<!-- picture:begin -->\n<!-- picture:end -->\n\
                      <!-- gallery:begin -->\n<!-- gallery:end -->\n";

/// A repository with the entry `fast`, and a run in which it was measured.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let results = examples::detailed_results();
        let fast = results.run.targets.iter().find(|it| it.name == "fast").expect("a target");
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for name in ["impls/fast", "scripts", "docs/results", "run"] {
            fs::create_dir_all(root.join(name)).expect("a folder");
        }
        let manifest = "summary = \"s\"\nlanguage = \"Rust\"\nstyle = \"readiness loop\"\n\
                        library = \"std\"\nurl = \"https://example.org\"\nsources = [\"server.rs\"]\n\
                        build = \"\"\nrun = [\"./server\"]\nslow_reader = \"drop-newest\"\n\
                        queue_limit = 5\n";
        fs::write(root.join("impls/fast/impl.toml"), manifest).expect("a manifest");
        fs::write(root.join("impls/fast/server.rs"), &fast.sources[0].text).expect("a program");
        fs::write(root.join("impls/fast/README.md"), PAGE).expect("a page");
        fs::write(root.join("README.md"), README).expect("a readme");
        examples::write(&results, &root.join("run")).expect("results");
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn docs(&self, options: &[&str]) -> Ended {
        let impls = self.path("impls");
        let arguments = [&["--impls", &impls, "gallery-docs"], options].concat();
        run(ZILLIONS, &arguments)
    }
}

pub(crate) fn figures_go_from_a_run_into_the_documents_and_leave_with_the_program() {
    let repository = Repository::new();
    let file = repository.path("docs/results/run.json");
    let written = run(ZILLIONS, &["report", &repository.path("run"), "--figures", &file]);
    assert_eq!((written.code, written.stdout.trim_end()), (0, file.as_str()));
    assert!(!Path::new(&repository.path("run/report.html")).exists(), "the figures alone");
    let figures = GalleryResults::read(Path::new(&file)).expect("figures");
    assert!(figures.entries.contains_key("slow"));

    assert_eq!(repository.docs(&["--check"]).code, 1);
    assert_eq!(repository.docs(&[]).code, 0);
    assert_eq!(repository.docs(&["--check"]).code, 0);
    let page = repository.text("impls/fast/README.md");
    assert!(page.starts_with(PAGE) && page.contains("| room | 1 of 2 | 602 µs |"), "{page}");
    let readme = repository.text("README.md");
    assert!(readme.contains("| lines | CPU per delivery | the idea |"), "{readme}");
    assert!(readme.contains("| 97 | 13.0 µs | s |"), "{readme}");
    assert!(readme.contains("srcset=\"docs/results/styles-dark.svg\""), "{readme}");
    assert!(repository.text("docs/results/styles-light.svg").contains("readiness loop"));

    // A changed program has no figures until it is measured again.
    fs::write(repository.path("impls/fast/server.rs"), "fn main() {}\n").expect("a program");
    let stale = repository.docs(&["--check"]);
    assert_eq!(stale.code, 1);
    assert!(stale.line().ends_with("is out of date: run 'zillions gallery-docs'"));
    assert_eq!(repository.docs(&[]).code, 0);
    assert_eq!(repository.text("impls/fast/README.md"), PAGE);
    assert!(!repository.text("README.md").contains("| lines |"));
    assert!(!Path::new(&repository.path("docs/results/styles-dark.svg")).exists());
    assert_eq!(repository.docs(&["--check"]).code, 0);
}

pub(crate) fn damaged_figures_are_told_with_the_file() {
    let repository = Repository::new();
    fs::write(repository.path("docs/results/run.json"), "{}").expect("a file");
    let refused = repository.docs(&[]);
    assert_eq!(refused.code, 64);
    assert!(
        refused.line().contains("/docs/results/run.json': missing field"),
        "{}",
        refused.stderr
    );
}

pub(crate) fn a_run_is_drawn_for_light_and_for_dark_ground() {
    let repository = Repository::new();
    let (results, folder) = (repository.path("run"), repository.path("pictures"));
    let drawn = run(ZILLIONS, &["report", &results, "--svg", &folder]);
    assert_eq!(drawn.code, 0, "{}", drawn.stderr);
    assert_eq!(drawn.stdout.lines().count(), 2);
    let light = repository.text("pictures/styles-light.svg");
    assert!(light.starts_with("<svg ") && light.contains("async/await"), "{light}");
    assert_ne!(light, repository.text("pictures/styles-dark.svg"));

    // Without lines of code there is nothing to draw.
    let plain = tempfile::tempdir().expect("a folder");
    let results: Results = examples::results();
    examples::write(&results, plain.path()).expect("results");
    let plain = plain.path().display().to_string();
    let refused = run(ZILLIONS, &["report", &plain, "--svg", &folder]);
    assert_eq!(refused.code, 64);
    assert!(refused.line().contains("nothing to draw"), "{}", refused.stderr);
    let two = run(ZILLIONS, &["report", &plain, &plain, "--svg", &folder]);
    assert_eq!(two.code, 64);
    assert!(two.line().contains("name one folder"), "{}", two.stderr);
}
