//! The ABI's layout is kept as text: a change of it shows in a review, and a breaking one asks for a new major version.

use abi_stable::StableAbi;
use regent_plugin_api::abi::{self, DcsPluginRef, HostServicesRef};
use std::path::Path;

/// `REGENT_REFRESH_GOLDEN=1` writes the dump anew.
#[test]
fn the_layout_is_the_one_that_is_kept() {
    let dump = |text: String| {
        let kept = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty() && !line.contains("package"));
        kept.collect::<Vec<_>>().join("\n")
    };
    let layouts = [
        <DcsPluginRef as StableAbi>::LAYOUT,
        <HostServicesRef as StableAbi>::LAYOUT,
        <abi::BackendBox as StableAbi>::LAYOUT,
        <abi::Error as StableAbi>::LAYOUT,
        <abi::Entry as StableAbi>::LAYOUT,
        <abi::Snapshot as StableAbi>::LAYOUT,
        <abi::Lease as StableAbi>::LAYOUT,
        <abi::Write as StableAbi>::LAYOUT,
        <abi::Expect as StableAbi>::LAYOUT,
        <abi::Call as StableAbi>::LAYOUT,
        <abi::Capabilities as StableAbi>::LAYOUT,
        <abi::OpenArgs as StableAbi>::LAYOUT,
        <abi::LogRecord<'_> as StableAbi>::LAYOUT,
    ];
    let found = layouts.map(|layout| dump(layout.to_string())).join("\n\n") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/abi-1.0.txt");
    if std::env::var_os("REGENT_REFRESH_GOLDEN").is_some() {
        std::fs::write(&path, &found).expect("the dump can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == found, "the ABI's layout changed: see tests/abi-1.0.txt, and refresh it if that is meant");
}
