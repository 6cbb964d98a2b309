//! The program behind `make drills`: fires the shots that were asked for, prints a line for each and a table, and fails
//! when a promise was broken.
#![allow(clippy::print_stdout, reason = "this is the program's output")]

use anyhow::{Result, ensure};
use regent_faults::drill::options::Options;
use regent_faults::drill::{Drill, run, table};

fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let shots = if options.report { run::kept()? } else { run::run(&options)? };
    println!("\n{}", table::render(&shots, &Drill::ALL.map(Drill::name)));
    let broken: usize = shots.iter().map(|shot| shot.violations.len()).sum();
    ensure!(broken == 0, "{broken} promises were broken; {} has the shots", run::file()?.display());
    Ok(())
}
