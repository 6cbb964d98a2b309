//! Loads one plugin: every check has its own refusal, and every refusal is one line that names the file.
#![allow(unsafe_code, reason = "the dynamic linker can only be called unsafely; each call says why it is sound")]

use crate::abi::{API_MAJOR, API_MINOR, BackendBox, DcsPluginRef, MANIFEST_MAGIC, Manifest, OpenArgs, SETTINGS};
use crate::driver::OpenOptions;
use crate::elf;
use crate::services::services;
use crate::types::{Capabilities, DcsError, convert, millis};
use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::lib_header_from_path;
use abi_stable::std_types::RVec;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a file was refused. The text is one line and names the file.
#[derive(Debug, thiserror::Error)]
#[error("plugin {path}: {reason}")]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// A loaded plugin. It stays loaded until the process ends.
#[derive(Clone, Copy)]
pub struct Plugin {
    pub(crate) root: DcsPluginRef,
    name: &'static str,
    version: &'static str,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({} {})", self.name, self.version)
    }
}

impl Plugin {
    /// Loads the file, if it is a plugin that this daemon can use.
    ///
    /// # Errors
    /// With the first thing that is wrong with it.
    pub fn load(path: &Path, sha256: Option<&str>) -> Result<Plugin, LoadError> {
        load(path, sha256).map_err(|reason| LoadError { path: path.to_owned(), reason })
    }

    /// A plugin that is part of this process, for tests.
    #[cfg(test)]
    pub(crate) fn of_root(root: DcsPluginRef) -> Plugin {
        Plugin { root, name: "test", version: "0" }
    }

    /// The backend's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The plugin's version.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// What the backend can do.
    pub fn capabilities(&self) -> Capabilities {
        convert::capabilities_from(&(self.root.capabilities())())
    }

    /// The settings that it says its section may hold; none where it does not say.
    pub fn settings(&self) -> Vec<String> {
        let capabilities = (self.root.capabilities())();
        let told = capabilities.ext.iter().find(|pair| pair.0 == SETTINGS);
        told.map(|pair| pair.1.split(',').map(str::to_owned).collect()).unwrap_or_default()
    }

    /// An object without the driver around it: the conformance kit calls it from threads of its own.
    ///
    /// # Errors
    /// When the plugin refuses the options.
    #[doc(hidden)]
    pub fn open_bare(&self, options: &OpenOptions) -> Result<BackendBox, DcsError> {
        let args = OpenArgs {
            namespace: options.namespace.as_str().into(),
            scope: options.scope.as_str().into(),
            member: options.member.as_str().into(),
            ttl_ms: millis(options.ttl),
            loop_wait_ms: millis(options.loop_wait),
            retry_timeout_ms: millis(options.retry_timeout),
            config_json: options.config_json.as_str().into(),
            plugin_id: 1,
            host: services(),
            ext: RVec::new(),
        };
        convert::result_from((self.root.open())(args), |backend| backend)
    }

    /// Lets the backend look at its configuration section.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn check_config(&self, config_json: &str) -> Result<(), DcsError> {
        convert::result_from((self.root.check_config())(config_json.into()), |()| ())
    }
}

/// What the file says of itself, if it is safe to ask.
pub(crate) fn manifest(path: &Path, sha256: Option<&str>) -> Result<&'static Manifest, String> {
    check_file(path, sha256)?;
    open(path)
}

fn load(path: &Path, sha256: Option<&str>) -> Result<Plugin, String> {
    let manifest = manifest(path, sha256)?;
    check_manifest(manifest)?;
    let (name, version) = (text(&manifest.name), text(&manifest.version));
    let root = root_module(path, manifest, name, version)?;
    Ok(Plugin { root, name, version })
}

fn check_file(path: &Path, sha256: Option<&str>) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != ours {
        return Err(format!("owned by user {}, not by root or by the daemon's user {ours}", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!("mode {:o} lets others write to it", metadata.mode() & 0o7777));
    }
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    if let Some(wanted) = sha256 {
        let found = digest(&mut file).map_err(|error| format!("can not be read: {error}"))?;
        if !found.eq_ignore_ascii_case(wanted.trim()) {
            return Err(format!("sha256 is {found}, the configuration asks for {wanted}"));
        }
    }
    elf::check(&file, metadata.len())
}

/// The digest of all that follows, in hexadecimal.
pub(crate) fn digest(file: &mut File) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn open(path: &Path) -> Result<&'static Manifest, String> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    /// Not in libloading: the object is never unmapped.
    const RTLD_NODELETE: std::os::raw::c_int = 0x1000;
    // SAFETY: the file is a complete shared library for this machine, owned by root or by us, and the operator
    // configured it; running its constructors is what loading means.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) };
    let library = library.map_err(|error| chain(&error))?;
    // SAFETY: the symbol is only read as a pointer here; whether it is a manifest is checked before it is believed.
    let symbol = unsafe { library.get::<*const Manifest>(b"REGENT_DCS_MANIFEST\0") };
    let address = symbol.map_err(|_| "not a DCS plugin: symbol REGENT_DCS_MANIFEST is missing".to_owned())?;
    let pointer: *const Manifest = *address;
    std::mem::forget(library);
    if pointer.is_null() {
        return Err("not a DCS plugin: its manifest is empty".to_owned());
    }
    // SAFETY: the library exports the symbol as a static of at least a magic; it stays mapped for ever.
    let magic = unsafe { std::ptr::read_unaligned(pointer.cast::<[u8; 8]>()) };
    if magic != MANIFEST_MAGIC {
        return Err("not a DCS plugin: the manifest's magic is wrong".to_owned());
    }
    // SAFETY: the magic says that this is a manifest; its size is checked next.
    Ok(unsafe { &*pointer })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text.replace('\n', " ")
}

fn check_manifest(manifest: &Manifest) -> Result<(), String> {
    if (manifest.size as usize) < std::mem::size_of::<Manifest>() {
        return Err(format!("its manifest has {} bytes, too few", manifest.size));
    }
    let (name, version) = (text_of(&manifest.name), text_of(&manifest.version));
    if manifest.api_major != API_MAJOR {
        return Err(format!(
            "{name} {version} was built for plugin API {}.{}, this daemon speaks {API_MAJOR}.{API_MINOR}",
            manifest.api_major, manifest.api_minor
        ));
    }
    if manifest.unwind != 1 {
        return Err(format!("{name} {version} was built with panic=abort: a panic in it would end the daemon"));
    }
    Ok(())
}

fn root_module(path: &Path, manifest: &Manifest, name: &str, version: &str) -> Result<DcsPluginRef, String> {
    let header = lib_header_from_path(path).map_err(|error| format!("{name} {version}: {}", first_line(&error)))?;
    let abi_stable::library::IsLayoutChecked::Yes(theirs) = header.root_mod_consts().layout() else {
        return Err(format!("{name} {version} does not describe its layout"));
    };
    let ours = <DcsPluginRef as StableAbi>::LAYOUT;
    // With minor 0 the older side is always ours; the comparison is there for the first addition.
    #[allow(clippy::absurd_extreme_comparisons, reason = "API_MINOR grows")]
    let (older, newer) = if manifest.api_minor >= API_MINOR { (ours, theirs) } else { (theirs, ours) };
    check_layout_compatibility(older, newer).map_err(|errors| {
        format!("{name} {version} has another layout than this daemon: {}", brief(&errors.to_string()))
    })?;
    // SAFETY: the layouts were found compatible just above, the older side first.
    let root = unsafe { header.init_root_module_with_unchecked_layout::<DcsPluginRef>() };
    root.map_err(|error| format!("{name} {version}: {}", first_line(&error)))
}

fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// The first lines of a report of thousands that say what differs.
fn brief(report: &str) -> String {
    let telling = report.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Layout of"));
    telling.take(4).collect::<Vec<_>>().join("; ")
}

fn text_of(field: &[u8; 32]) -> &str {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).unwrap_or("?")
}

/// A text of the manifest.
pub(crate) fn text(field: &'static [u8; 32]) -> &'static str {
    text_of(field)
}
