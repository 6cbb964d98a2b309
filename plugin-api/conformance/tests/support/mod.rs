//! The libraries under test, and options to run the kit against them.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod etcd;

use regent_dcs_conformance::Options;
use std::path::PathBuf;
use std::time::Duration;

/// The library beside this test's executable; cargo builds it together with the test.
pub fn library(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let file = format!("libregent_dcs_{name}.so");
    let candidates = [folder.join(&file), folder.join("..").join(&file)];
    candidates.into_iter().find(|path| path.exists()).expect("cargo built the library")
}

pub fn options(name: &str, config: &str, ttl: Duration) -> Options {
    Options {
        plugin: library(name),
        config: config.to_owned(),
        upstream: None,
        ttl,
        only: Vec::new(),
        skip: Vec::new(),
        command: Some(env!("CARGO_BIN_EXE_regent-dcs-conformance").into()),
        soak: Duration::ZERO,
        prepare: None,
    }
}
