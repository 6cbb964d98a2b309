//! The program behind `make faults`: runs what was asked for, prints the table and one line of JSON, and fails when a
//! promise was broken.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program's output")]

use anyhow::{Result, ensure};
use regent_faults::options::Options;
use regent_faults::{run, summary};

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    eprintln!("seed {}", options.seed);
    let totals = run::run(&options).await?;
    println!("{}", summary::render(&totals));
    println!("{}", summary::json(options.seed, &totals));
    let broken: usize = totals.iter().map(|total| total.violations.len()).sum();
    ensure!(broken == 0, "{broken} promises were broken; the stories are in {}", run::folder()?.display());
    Ok(())
}
