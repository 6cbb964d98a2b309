//! What was measured: a table for people, JSON lines for programs.

use anyhow::Result;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    aim: Option<f64>,
    detail: String,
}

/// All measurements.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A time, with what is aimed at.
    pub fn add(&mut self, name: &str, time: Duration, aim: Option<Duration>) {
        self.add_value(name, millis(time), "ms", aim.map(millis));
    }

    /// A value, with what is aimed at most.
    pub fn add_value(&mut self, name: &str, value: f64, unit: &'static str, aim: Option<f64>) {
        self.rows.push(Row { name: name.to_owned(), value, unit, aim, detail: String::new() });
    }

    /// Words on the row added last.
    pub fn detail(&mut self, detail: String) {
        if let Some(row) = self.rows.last_mut() {
            row.detail = detail;
        }
    }

    /// Prints it.
    pub fn print(&self) {
        println!("{:<52} {:>12} {:>10}  met", "measurement", "value", "aim");
        for row in &self.rows {
            let value = format!("{:.1} {}", row.value, row.unit);
            let aim = row.aim.map(|aim| format!("{aim:.0} {}", row.unit)).unwrap_or_default();
            let met = row.aim.map(|aim| if row.value <= aim { "yes" } else { "NO" }).unwrap_or_default();
            println!("{:<52} {value:>12} {aim:>10}  {met}", row.name);
            for line in row.detail.lines() {
                println!("    {line}");
            }
        }
    }

    /// Appends it to `target/bench/results.jsonl`.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn append_json(&self) -> Result<()> {
        std::fs::create_dir_all("target/bench")?;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open("target/bench/results.jsonl")?;
        for row in &self.rows {
            let line =
                json!({"name": row.name, "value": row.value, "unit": row.unit, "aim": row.aim, "detail": row.detail});
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The middle of several times.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
