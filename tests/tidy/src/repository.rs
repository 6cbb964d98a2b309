//! The files that the rules are about: those that git tracks or would add.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::source::Source;

/// What was published once stays as it was, whatever the rules are by now.
const KEPT: &str = "plugin-api/tests/minors/";

/// The repository's files, read once.
pub struct Repository {
    /// Every path from the root, sorted.
    pub paths: Vec<String>,
    /// Every Rust file.
    pub sources: Vec<Source>,
    root: PathBuf,
}

impl Repository {
    /// Reads the repository that this crate is part of.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn open() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let mut paths = match listed_by_git(&root) {
            Some(paths) => paths,
            None => walked(&root)?,
        };
        paths.retain(|path| !path.starts_with(KEPT) && root.join(path).is_file());
        paths.sort();
        let mut sources = Vec::new();
        for path in paths.iter().filter(|path| path.ends_with(".rs")) {
            sources.push(Source::new(path, &fs::read_to_string(root.join(path))?));
        }
        Ok(Self { paths, sources, root })
    }

    /// The text of a file, or `None` when it does not exist or is not text.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// Writes a page that the tests make.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn refresh(&self, path: &str, text: &str) -> io::Result<()> {
        fs::write(self.root.join(path), text)
    }
}

/// Tracked files and new ones that are not ignored: a rule should speak before the commit.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

/// The same from a source archive, where git knows nothing.
fn walked(root: &Path) -> io::Result<Vec<String>> {
    const NOT_OURS: [&str; 4] = [".git", ".cache", "target", "book"];
    let mut folders = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if NOT_OURS.iter().any(|other| name == *other) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Ok(path) = entry.path().strip_prefix(root) {
                paths.push(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_itself_either_way() {
        let repository = Repository::open().expect("the repository can be read");
        let this = "tests/tidy/src/repository.rs";
        assert!(repository.paths.iter().any(|path| path == this));
        assert!(repository.sources.iter().any(|source| source.path == this));
        let walked = walked(&repository.root).expect("the folder can be walked");
        assert!(walked.iter().any(|path| path == this));
        assert!(!walked.iter().any(|path| path.starts_with("target/")));
    }
}
