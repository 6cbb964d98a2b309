//! Tells everything about one plugin's file that a user may want to know, and whether it would be loaded.

use crate::abi::{API_MAJOR, API_MINOR};
use crate::loader::{self, LoadError, Plugin};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What was found. What could not be looked at is `None`.
#[derive(Debug)]
pub struct Examination {
    /// The file's own facts.
    pub file: Option<FileFacts>,
    /// What it says of itself; only of a file that is safe to open.
    pub manifest: Option<ManifestFacts>,
    /// The plugin, or the first thing that is wrong with it.
    pub loaded: Result<Plugin, LoadError>,
}

/// A file's own facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Number of the owner.
    pub owner: u32,
    /// Permissions.
    pub mode: u32,
    /// Size.
    pub bytes: u64,
    /// Its digest, in hexadecimal.
    pub sha256: Option<String>,
}

/// What a plugin says of itself before anything of it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFacts {
    /// The backend.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// The API that it was built for: major, minor.
    pub api: (u32, u32),
    /// A panic in it can be caught.
    pub unwinds: bool,
}

/// The API that this daemon speaks: major, minor.
pub const API: (u32, u32) = (API_MAJOR, API_MINOR);

/// Looks at a file as the daemon would, and at the digest that it must have where one is given.
pub fn examine(path: &Path, sha256: Option<&str>) -> Examination {
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| FileFacts {
        owner: metadata.uid(),
        mode: metadata.mode() & 0o7777,
        bytes: metadata.len(),
        sha256: File::open(path).ok().and_then(|mut file| loader::digest(&mut file).ok()),
    });
    let manifest = loader::manifest(path, sha256).ok().map(|manifest| ManifestFacts {
        name: loader::text(&manifest.name).to_owned(),
        version: loader::text(&manifest.version).to_owned(),
        api: (manifest.api_major, manifest.api_minor),
        unwinds: manifest.unwind == 1,
    });
    Examination { file, manifest, loaded: Plugin::load(path, sha256) }
}
