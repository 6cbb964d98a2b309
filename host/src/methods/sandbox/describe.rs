//! What a component is, as far as that can be seen without running it: for its author, and for whoever is about to
//! configure it.

use super::child::{self, COMPILE_LIMIT, Refused};
use super::guest;
use super::message::Purpose;
use std::path::Path;
use wasmtime::component::types::ComponentItem;

/// How Regent calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It exports functions of our interface: makes replicas, makes clusters.
    Typed {
        /// `create-replica`
        replica: bool,
        /// `bootstrap`
        bootstrap: bool,
    },
    /// A plain command, called with a command's arguments.
    Command,
}

/// A component that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// How it is called.
    pub kind: Kind,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 digest, in hexadecimal digits.
    pub sha256: String,
    /// The interfaces that it asks for.
    pub imports: Vec<String>,
    /// How long compiling took, in milliseconds.
    pub compile_millis: u64,
}

/// Looks at a component's file.
///
/// # Errors
/// Why it cannot be run.
pub fn describe(path: &Path) -> Result<Description, String> {
    look(path).map_err(|Refused(why)| why)
}

fn look(path: &Path) -> Result<Description, Refused> {
    let failed = |error: wasmtime::Error| Refused(format!("{error:#}"));
    let engine = child::engine().map_err(failed)?;
    let bytes = child::read(path)?;
    let (size, sha256) = (bytes.len() as u64, child::digest(&bytes));
    child::refuse_module(&bytes, path)?;
    let began = crate::ports::now();
    let component = child::compile(&engine, bytes, COMPILE_LIMIT)?;
    let compile_millis = u64::try_from(crate::ports::now().since(began).as_millis()).unwrap_or(u64::MAX);
    let linker = guest::linker(&engine).map_err(failed)?;
    linker
        .instantiate_pre(&component)
        .map_err(|error| Refused(format!("it asks for something that no method gets: {error:#}")))?;
    let types = component.component_type();
    let imports = types.imports(&engine).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<_> = types.exports(&engine).map(|(name, item)| (name.to_owned(), item.ty)).collect();
    let function = |purpose| {
        exports
            .iter()
            .any(|(name, item)| name == guest::entry(purpose) && matches!(item, ComponentItem::ComponentFunc(_)))
    };
    let (replica, bootstrap) = (function(Purpose::Replica), function(Purpose::Bootstrap));
    let kind = if replica || bootstrap {
        Kind::Typed { replica, bootstrap }
    } else if exports.iter().any(|(name, _)| name.starts_with("wasi:cli/run@")) {
        Kind::Command
    } else {
        return Err(Refused("it is no command, and has neither a function create-replica nor bootstrap".into()));
    };
    Ok(Description { kind, bytes: size, sha256, imports, compile_millis })
}
