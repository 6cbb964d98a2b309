//! What is wrong with a configuration: place, key and reason, all at once. Values are not repeated, they may be secret.

use std::fmt;
use std::path::PathBuf;

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In a file, on a line where it is known.
    File(PathBuf, Option<usize>),
    /// In a variable of the environment.
    Variable(String),
    /// Nowhere in particular.
    #[default]
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file, Some(line)) => write!(f, "{}:{line}: ", file.display()),
            Place::File(file, None) => write!(f, "{}: ", file.display()),
            Place::Variable(name) => write!(f, "{name}: "),
            Place::Nowhere => Ok(()),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// The key, with dots; empty where the text as a whole is meant.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl ConfigError {
    /// The text as a whole is wrong.
    pub(super) fn whole(place: Place, reason: impl Into<String>) -> ConfigError {
        ConfigError { place, key: String::new(), reason: reason.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.key.is_empty() { "" } else { " " };
        write!(f, "{}{}{space}{}", self.place, self.key, self.reason)
    }
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
