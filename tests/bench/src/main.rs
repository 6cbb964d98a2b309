//! `make bench`: Regent and Patroni on the same machine in the same run, each on an etcd of its own, as a table with
//! ratios: how long clients wait when something happens, and what a daemon costs when nothing does.
//!
//! It measures and never fails because something was slow; it fails when something did not happen. Like the harness it
//! sees programs, ports and logs only, and uses no crate of the product.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program's output")]
#![allow(clippy::disallowed_methods, reason = "a benchmark keeps its own time")]
#![allow(clippy::cast_precision_loss, reason = "what is counted here stays far below 2^52")]

mod aims;
mod bed;
mod load;
mod logs;
mod metric;
mod moments;
mod options;
mod plan;
mod results;
mod scenarios;
mod statistics;
mod system;
mod table;
mod trial;
mod usage;

use anyhow::{Result, ensure};
use options::Options;
use results::Results;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    if options.list {
        println!("{}", scenarios::names().join(" "));
        return Ok(());
    }
    system::check(&options.systems)?;
    let mut results = Results::create()?;
    plan::run(&options, &mut results).await?;
    let text = table::render(&results);
    println!("{text}");
    results.keep_table(&text)?;
    ensure!(results.failures().is_empty(), "{} scenarios did not come to an end", results.failures().len());
    Ok(())
}
