//! The REST API of a running member against its own description, by a program that is not ours.

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, binaries};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The version that `tests/setup.sh` installs.
const VERSION: &str = "4.32.5";

/// For all of it; it ends by itself long before, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// What every answer is held against. What a request means for the cluster is for other tests: a refusal is right here
/// as long as it is one that the description knows.
const CHECKS: &str =
    "status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

/// API-18: every path, with good and bad parameters and bodies, answers as the description says.
#[tokio::test]
async fn the_api_keeps_to_its_description() -> Result<()> {
    let place = Path::new(binaries::WORKSPACE).join(format!(".cache/schemathesis-{VERSION}"));
    if !place.join("complete").is_file() {
        eprintln!("SKIPPED: the API against its description: schemathesis is not in {}", place.display());
        return Ok(());
    }
    let cluster = Cluster::builder("described").nodes(1).start().await?;
    let node = cluster.wait_leader(Duration::from_secs(90)).await?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(place.join("bin/schemathesis"));
    command.arg("run").arg(format!("http://127.0.0.1:{}/openapi.json", node.layout.rest_port));
    command.args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "20"]);
    command.args(["--workers", "1", "--max-time", "20", "--generation-database", "none", "--warnings", "off"]);
    command.args(["--request-timeout", "60", "--suppress-health-check", "all", "--no-color"]);
    command.current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("schemathesis does not end")??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    cluster.wait_leader(Duration::from_secs(60)).await?;
    cluster.finish().await
}
