//! `regent plugin`: looks at backends as the daemon would, and begins a new one. It never opens a store.

mod check;
mod list;
mod skeleton;

use std::path::PathBuf;

/// What is asked.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Tell everything about a backend's file, and whether it would be loaded; exit code 1 if not
    Check {
        /// The shared library
        file: PathBuf,
        /// The digest that it must have
        #[arg(long)]
        sha256: Option<String>,
    },
    /// Show which backend a configuration would load, from where; exit code 1 if it could not
    List {
        /// Configuration file or folder; without one, the PATRONI_* variables
        config: Option<PathBuf>,
    },
    /// Write the skeleton of a backend, which works: it keeps its keys in memory
    New {
        /// The store's name, which is also that of its section: small letters, figures and underscores
        name: String,
        /// Where Regent's packages for authors are unpacked, or its sources; without it they come from the registry
        #[arg(long)]
        sdk: Option<PathBuf>,
        /// The folder to make; regent-dcs-NAME here unless said otherwise
        #[arg(long)]
        folder: Option<PathBuf>,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whole lines.
    pub text: String,
    /// All is well.
    pub good: bool,
}

/// Does what is asked.
pub fn run(command: &Command) -> Report {
    match command {
        Command::Check { file, sha256 } => check::report(file, sha256.as_deref()),
        Command::List { config } => list::report(config.clone()),
        Command::New { name, sdk, folder } => {
            let written = skeleton::write(name, sdk.as_deref(), folder.clone());
            let good = written.is_ok();
            Report { text: format!("{}\n", written.unwrap_or_else(|why| why)), good }
        }
    }
}

/// One line of a report, its name before it.
fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("{name:<9} {value}\n"));
}

#[cfg(test)]
mod tests;
