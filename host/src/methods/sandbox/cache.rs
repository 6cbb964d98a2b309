//! Compiled components, kept between runs in a folder that is ours alone. Whoever can write there runs code of their own
//! as us: a folder or a file that anybody else could have written is not used.

use super::child::Refused;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The folder of the cache, made where it is missing; `None` where none can be trusted.
pub(super) fn folder() -> Option<PathBuf> {
    let base = crate::ports::home_directory();
    if base.as_os_str().is_empty() || !base.is_dir() {
        return None;
    }
    let folder = base.join(".cache/regent/methods");
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).ok()?;
    }
    // It may be there already; whether it is good is seen next.
    let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    is_ours(&fs::symlink_metadata(&folder).ok()?, Kind::Folder).then_some(folder)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

fn is_ours(meta: &fs::Metadata, kind: Kind) -> bool {
    let fits = match kind {
        Kind::File => meta.is_file(),
        Kind::Folder => meta.is_dir(),
    };
    fits && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0
}

/// The name of what was compiled from the bytes with this digest, by this compiler as it is set.
pub(super) fn file_name(engine: &Engine, digest: &str) -> String {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:016x}.cwasm", hasher.finish())
}

/// What is kept under that name.
#[allow(unsafe_code, reason = "compiled code is mapped as it is: the only way to run it again")]
pub(super) fn load(engine: &Engine, folder: &Path, name: &str) -> Option<Component> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder.join(name), flags, Mode::empty()).ok()?;
    let mut file = fs::File::from(file);
    if !is_ours(&file.metadata().ok()?, Kind::File) {
        return None;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    // SAFETY: the bytes were written by `store` of this program, or by a process that can already do all that we can: the
    // folder and the file belong to us, and nobody else may write to them. Wasmtime checks the version and settings.
    unsafe { Component::deserialize(engine, bytes) }.ok()
}

/// Keeps it. A cache that cannot be written costs time, and nothing else.
pub(super) fn store(component: &Component, folder: &Path, name: &str) -> Result<(), Refused> {
    let bytes = component.serialize().map_err(|error| Refused(format!("cannot serialize compiled code: {error}")))?;
    let new = folder.join(format!("{name}.{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| fs::rename(&new, folder.join(name)));
    written.map_err(|error| {
        let _ = fs::remove_file(&new);
        Refused(format!("cannot keep compiled code in {}: {error}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_is_ours_alone_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let component = Component::new(&engine, b"\0asm\x0d\0\x01\0").unwrap();
        let name = file_name(&engine, "00");
        assert!(load(&engine, folder.path(), &name).is_none());
        store(&component, folder.path(), &name).unwrap();
        assert!(load(&engine, folder.path(), &name).is_some());
        let path = folder.path().join(&name);
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        set(0o666);
        assert!(load(&engine, folder.path(), &name).is_none(), "others could have written it");
        set(0o600);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(load(&engine, folder.path(), "link").is_none(), "a link leads who knows where");
        fs::write(&path, b"nonsense").unwrap();
        assert!(load(&engine, folder.path(), &name).is_none(), "not compiled code");
    }
}
