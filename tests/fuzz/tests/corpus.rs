//! The corpus of every fuzzer, as tests: what was found once is not broken again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use athena_fuzz::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = list.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_file_of_the_corpus_is_taken_well() {
    for (name, target) in TARGETS {
        let files = entries(&corpus().join(name));
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            // A panic says what was wrong; this says with which bytes.
            println!("{}", file.display());
            target(&fs::read(&file).expect("a file"));
        }
    }
}

#[test]
fn every_folder_of_the_corpus_has_its_target() {
    let targets: BTreeSet<PathBuf> = TARGETS.iter().map(|(name, _)| corpus().join(name)).collect();
    assert_eq!(entries(&corpus()).into_iter().collect::<BTreeSet<_>>(), targets);
}
