//! The workbench of whoever writes a method as a component: a project to begin with, a look at what was built, a run with
//! the grants of a configuration and without a cluster. It knows no servers.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line answers on the terminal")]

mod project;
mod trial;

use crate::methods::{Kind, describe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Begin a method: a crate that builds a component
    New {
        /// The method's name; the crate is made in a folder of this name
        name: String,
        /// Make the folder here
        #[arg(long, default_value = ".")]
        folder: PathBuf,
    },
    /// Look at a component: what it is, what it asks for, whether it can be run
    Check {
        /// The component's file
        file: PathBuf,
    },
    /// Run a method of a configuration into an empty folder, with its grants and no others; no cluster is needed
    Run {
        /// Configuration file; a section `postgresql: {METHOD: {wasm: ...}}` is all that it must have
        config: PathBuf,
        /// The method's name
        method: String,
        /// The folder that becomes the data directory: empty, or not there
        #[arg(long)]
        into: PathBuf,
        /// What the method is told of the server to copy
        #[arg(long)]
        connection: Option<String>,
        /// Call it as a bootstrap method, from its section below `bootstrap`
        #[arg(long)]
        bootstrap: bool,
    },
}

/// Does it.
pub fn run(task: Task) -> ExitCode {
    match task {
        Task::New { name, folder } => ended(project::make(&name, &folder)),
        Task::Check { file } => ended(check(&file)),
        Task::Run { config, method, into, connection, bootstrap } => {
            trial::run(&trial::Options { config, method, into, connection, bootstrap })
        }
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> Result<(), String> {
    let found = describe(file)?;
    println!("{}: {} bytes", file.display(), found.bytes);
    println!("sha256: {}", found.sha256);
    println!("kind: {}", kind(found.kind));
    println!("compiled in {} ms", found.compile_millis);
    for line in asks_for(&found.imports) {
        println!("{line}");
    }
    Ok(())
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Typed { replica: true, bootstrap: true } => "a method that makes replicas and clusters",
        Kind::Typed { replica: true, bootstrap: false } => "a method that makes replicas",
        Kind::Typed { .. } => "a method that makes clusters",
        Kind::Command => "a plain command, called with a command's arguments",
    }
}

/// What the interfaces mean for the configuration. Asking is not using: nearly every program can open files.
fn asks_for(imports: &[String]) -> Vec<String> {
    let meanings = [
        ("wasi:filesystem/", "may open files: `directories` grants folders besides the data directory"),
        ("wasi:http/", "may ask HTTP servers: `hosts` grants them, as host:port"),
        ("wasi:sockets/tcp@", "may connect to servers: `hosts` grants them, as host:port"),
        ("wasi:cli/environment@", "may read variables: `environment` grants them"),
    ];
    let asked = |prefix: &str| imports.iter().any(|import| import.starts_with(prefix));
    meanings.iter().filter(|(prefix, _)| asked(prefix)).map(|(_, meaning)| (*meaning).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_as_settings() {
        let imports = ["wasi:io/poll@0.2.6", "wasi:filesystem/types@0.2.6", "wasi:http/types@0.2.6"].map(str::to_owned);
        let told = asks_for(&imports);
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("`directories`") && told[1].contains("`hosts`"));
    }

    #[test]
    fn what_is_no_component_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let check = |bytes: &[u8], expected: &str| {
            let file = folder.path().join("m.wasm");
            std::fs::write(&file, bytes).unwrap();
            let why = super::check(&file).unwrap_err();
            assert!(why.contains(expected), "{why}");
        };
        check(b"\0asm\x01\0\0\0", "is a module");
        check(b"\0asm\x0d\0\x01\0", "neither a function create-replica nor bootstrap");
        check(b"#!/bin/sh", "cannot be compiled");
    }
}
