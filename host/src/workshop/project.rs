//! A crate to begin a method with. It holds all that it needs: the interface, and the library that speaks it.

use std::fs;
use std::path::Path;

const INTERFACE: &str = include_str!("../../../wasm-methods/wit/method.wit");
const LIBRARY: &str = include_str!("../../../wasm-methods/sdk/src/lib.rs");

const MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib"]

[dependencies]
regent-method = { path = "regent-method" }

[profile.release]
lto = true
strip = true
panic = "abort"

[workspace]
members = ["regent-method"]
"#;

const LIBRARY_MANIFEST: &str = r#"[package]
name = "regent-method"
version = "0.1.0"
edition = "2024"
publish = false

[dependencies]
wit-bindgen = { version = "0.61", default-features = false, features = ["macros", "realloc"] }
"#;

const SOURCE: &str = r#"//! Copies the folder that the parameter `from` names into the data directory. A beginning: put your own way here.

use regent_method::{Failure, Level, Method, Progress, Request};
use std::path::Path;

struct Mine;

impl Method for Mine {
    fn create_replica(request: Request) -> Result<(), Failure> {
        // A mistake in the configuration: no other method should hide it.
        let from = request.parameter("from").ok_or_else(|| Failure::Fatal("the parameter `from` is missing".into()))?;
        let mut bytes = 0;
        // Anything else that goes wrong: the next method may do better.
        copy(from.as_ref(), request.data_directory.as_ref(), &mut bytes)
            .map_err(|error| Failure::TryNext(format!("cannot copy {from}: {error}")))?;
        regent_method::log(Level::Info, &format!("copied {bytes} bytes from {from}"));
        Ok(())
    }
}

fn copy(from: &Path, to: &Path, bytes: &mut u64) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy(&entry.path(), &target, bytes)?;
        } else {
            *bytes += std::fs::copy(entry.path(), &target)?;
            regent_method::report(&Progress {
                bytes: *bytes,
                bytes_total: None,
                files: None,
                message: entry.file_name().to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

regent_method::export!(Mine with_types_in regent_method::bindings);
"#;

const EXAMPLE: &str = r"# Try it:  regent method run NAME.yml NAME --into /tmp/NAME
postgresql:
  create_replica_methods: [NAME, basebackup]
  NAME:
    wasm: target/wasm32-wasip2/release/FILE.wasm
    from: /var/backups/base
    directories:
      - /var/backups/base
    timeout: 1h
";

/// Makes the crate in a new folder.
pub(super) fn make(name: &str, folder: &Path) -> Result<(), String> {
    let usual = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if !name.chars().all(usual) || !name.starts_with(|character: char| character.is_ascii_lowercase()) {
        return Err(format!("{name:?} is no name of a crate: lower-case letters, digits and dashes are"));
    }
    let root = folder.join(name);
    fs::create_dir(&root).map_err(|error| format!("cannot make {}: {error}", root.display()))?;
    let filled = |text: &str| text.replace("NAME", name).replace("FILE", &name.replace('-', "_"));
    let files = [
        ("Cargo.toml", filled(MANIFEST)),
        ("src/lib.rs", SOURCE.to_owned()),
        (&format!("{name}.yml"), filled(EXAMPLE)),
        ("wit/method.wit", INTERFACE.to_owned()),
        ("regent-method/Cargo.toml", LIBRARY_MANIFEST.to_owned()),
        ("regent-method/src/lib.rs", LIBRARY.to_owned()),
        (".gitignore", "/target\n".to_owned()),
    ];
    for (path, text) in files {
        let path = root.join(path);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        made.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    println!("{} is there. Next:", root.display());
    println!("  cd {} && cargo build --release --target wasm32-wasip2", root.display());
    println!("  regent method check target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_"));
    println!("  regent method run {name}.yml {name} --into EMPTY-FOLDER");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_made_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        make("my-restore", folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("my-restore").join(name)).unwrap();
        assert!(read("Cargo.toml").contains("name = \"my-restore\""));
        assert!(read("my-restore.yml").contains("release/my_restore.wasm"));
        assert!(read("wit/method.wit").contains("package regent:method"));
        // The library looks for the interface where it is.
        assert!(read("regent-method/src/lib.rs").contains("path: \"../wit\""));
        assert!(make("my-restore", folder.path()).unwrap_err().contains("cannot make"));
        for odd in ["", "../x", "A", "1a"] {
            assert!(make(odd, folder.path()).unwrap_err().contains("no name of a crate"), "{odd}");
        }
    }
}
