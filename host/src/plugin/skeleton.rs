//! `regent plugin new`: the skeleton of a backend, outside of any workspace, that compiles and passes the kit's checks.

use std::path::{Path, PathBuf};

/// The store of an author who has not begun yet: where what is theirs goes.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("skeleton/Cargo.toml.in")),
    ("src/lib.rs", include_str!("skeleton/lib.rs.in")),
    ("src/memory.rs", include_str!("skeleton/memory.rs.in")),
    ("tests/conformance.rs", include_str!("skeleton/conformance.rs.in")),
    ("README.md", include_str!("skeleton/README.md.in")),
    (".gitignore", "/target\n"),
];

/// The packages for authors, and where they lie in the sources.
const PACKAGES: [(&str, &str); 3] = [
    ("regent-plugin-api", "plugin-api"),
    ("regent-plugin-sdk", "plugin-api/sdk"),
    ("regent-dcs-conformance", "plugin-api/conformance"),
];

/// They are published together.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The manifest keeps names of up to 31 bytes.
const LONGEST: usize = 31;

/// Writes all files; says what was written, or why nothing was.
pub(super) fn write(name: &str, sdk: Option<&Path>, folder: Option<PathBuf>) -> Result<String, String> {
    check_name(name)?;
    let patches = patches(sdk)?;
    let folder = folder.unwrap_or_else(|| PathBuf::from(format!("regent-dcs-{name}")));
    if folder.exists() {
        return Err(format!("{} is there already", folder.display()));
    }
    for (file, template) in FILES {
        let path = folder.join(file);
        let text = template.replace("@NAME@", name).replace("@TYPE@", &type_name(name));
        let text = text.replace("@VERSION@", VERSION).replace("@PATCHES@", &patches);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(format!("{}: a backend that keeps its keys in memory; README.md says what to do with it", folder.display()))
}

/// It becomes part of a file's name, a section's and a crate's.
fn check_name(name: &str) -> Result<(), String> {
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let fits = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if begins && fits && name.len() <= LONGEST {
        return Ok(());
    }
    Err(format!("{name:?} is no name: a small letter, then small letters, figures or underscores, {LONGEST} at most"))
}

/// `my_store` becomes `MyStore`.
fn type_name(name: &str) -> String {
    let part = |part: &str| {
        let (first, rest) = part.split_at(part.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.split('_').map(part).collect()
}

/// Where the packages for authors lie, if not in the registry: unpacked side by side, or as sources.
fn patches(sdk: Option<&Path>) -> Result<String, String> {
    let Some(sdk) = sdk else {
        return Ok(String::new());
    };
    let mut text = "\n# Instead of the registry's.\n[patch.crates-io]\n".to_owned();
    for (name, source) in PACKAGES {
        let places = [sdk.join(format!("{name}-{VERSION}")), sdk.join(source)];
        let found = places.iter().find(|place| place.join("Cargo.toml").is_file());
        let found = found.and_then(|place| place.canonicalize().ok());
        let found = found.ok_or_else(|| format!("{} is not there", places[0].display()))?;
        text.push_str(&format!("{name} = {{ path = {:?} }}\n", found.display().to_string()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_everywhere() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(check_name(name).ok().map(|()| type_name(name)).as_deref(), expected, "{name}");
        };
        check("redis", Some("Redis"));
        check("my_store2", Some("MyStore2"));
        check("a__b_", Some("AB"));
        for name in ["", "2a", "_a", "My", "my-store", "ü", "../x", "a/b", &"a".repeat(32)] {
            check(name, None);
        }
    }
}
