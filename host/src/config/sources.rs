//! Where the local configuration comes from: a file or a folder, the environment over it, merged into one document in
//! which the place of every key is remembered.

use super::environment;
use super::errors::{ConfigError, ConfigErrors, Place};
use super::merge::overlay;
use super::yaml;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the local configuration comes from.
#[derive(Clone, Default)]
pub struct Source {
    path: Option<PathBuf>,
    environment: BTreeMap<String, String>,
}

impl Source {
    /// A file or folder, where one is given, with `environment` over it.
    pub fn new(path: Option<PathBuf>, environment: BTreeMap<String, String>) -> Source {
        Source { path, environment }
    }

    /// The file or folder; one that does not exist counts as not given.
    pub fn existing_path(&self) -> Option<&Path> {
        self.path.as_deref().filter(|path| path.exists())
    }
}

/// The variables may hold passwords.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.environment.keys().collect();
        f.debug_struct("Source").field("path", &self.path).field("variables", &names).finish()
    }
}

/// Where each key stands: files in the order read, then the variables that lie over them.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    files: Vec<(PathBuf, BTreeMap<String, usize>)>,
    origins: BTreeMap<String, String>,
}

impl Places {
    /// The place that gave the value at a path: the last one that speaks of it, or of what holds it.
    pub fn of(&self, path: &str) -> Place {
        if let Some(name) = environment::origin(&self.origins, path) {
            return Place::Variable(name.clone());
        }
        let mut wanted = Some(path);
        while let Some(path) = wanted {
            for (file, lines) in self.files.iter().rev() {
                if let Some(line) = lines.get(path) {
                    return Place::File(file.clone(), Some(*line));
                }
            }
            wanted = path.rsplit_once('.').map(|(above, _)| above);
        }
        match &self.files[..] {
            [(file, _)] => Place::File(file.clone(), None),
            _ => Place::Nowhere,
        }
    }
}

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub document: Value,
    pub places: Places,
    /// What is odd about the texts themselves.
    pub warnings: Vec<String>,
    /// Variables that are not what they are for.
    pub errors: Vec<ConfigError>,
}

/// Reads the source.
///
/// # Errors
/// Where a text can not be read at all: then nothing can be said about its keys.
pub(super) fn gather(source: &Source) -> Result<Gathered, ConfigErrors> {
    let mut gathered = Gathered { document: Value::Object(Map::new()), ..Gathered::default() };
    let path = source.existing_path();
    let whole = environment::whole(&source.environment).filter(|_| path.is_none());
    if let Some(path) = path {
        gathered.files(path)?;
    }
    if let Some(text) = whole {
        let place = Place::Variable("PATRONI_CONFIGURATION".to_owned());
        let parsed = parse(&place, text).map_err(|error| ConfigErrors(vec![error]))?;
        overlay(&mut gathered.document, parsed.document);
    } else {
        gathered.variables(&source.environment);
    }
    Ok(gathered)
}

impl Gathered {
    /// Something is configured, or wrong.
    pub fn if_any(self, source: &Source) -> Result<Gathered, ConfigErrors> {
        let empty = self.document.as_object().is_none_or(Map::is_empty);
        if empty && self.errors.is_empty() {
            let place = source.existing_path().map_or(Place::Nowhere, |path| Place::File(path.to_owned(), None));
            return Err(ConfigErrors(vec![ConfigError::whole(place, "Config is empty.")]));
        }
        Ok(self)
    }
}

impl Gathered {
    fn files(&mut self, path: &Path) -> Result<(), ConfigErrors> {
        let mut errors = Vec::new();
        for file in files_of(path)? {
            match read(&file) {
                Ok(parsed) => {
                    overlay(&mut self.document, parsed.document);
                    for (key, line) in parsed.repeated {
                        let place = Place::File(file.clone(), Some(line));
                        self.warnings.push(format!("{place}{key} is given twice: the last one counts"));
                    }
                    for (key, line) in parsed.long {
                        let place = Place::File(file.clone(), Some(line));
                        self.warnings.push(format!("{place}{key} has more than 64 bits: it is taken as text"));
                    }
                    self.places.files.push((file, parsed.lines));
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
    }

    fn variables(&mut self, variables: &BTreeMap<String, String>) {
        let read = environment::read(variables);
        overlay(&mut self.document, read.document);
        self.places.origins = read.origins;
        let wrong = |(variable, key, reason)| ConfigError { place: Place::Variable(variable), key, reason };
        self.errors.extend(read.errors.into_iter().map(wrong));
        for name in read.unread {
            self.warnings.push(format!("the variable {name} is not known"));
        }
    }
}

/// The file itself, or every `*.yml` and `*.yaml` of a folder by name, each to lie over the one before.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, ConfigErrors> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| {
        let place = Place::File(path.to_owned(), None);
        ConfigErrors(vec![ConfigError::whole(place, format!("can not be read: {error}"))])
    })?;
    let is_yaml = |file: &PathBuf| {
        let extension = file.extension();
        extension.is_some_and(|extension| extension == "yml" || extension == "yaml") && file.is_file()
    };
    let mut files: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).filter(is_yaml).collect();
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<yaml::Parsed, ConfigError> {
    let place = Place::File(file.to_owned(), None);
    let bytes =
        std::fs::read(file).map_err(|error| ConfigError::whole(place.clone(), format!("can not be read: {error}")))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let place = Place::File(file.to_owned(), Some(line));
        ConfigError::whole(place, "is no YAML: the text is not UTF-8")
    })?;
    parse(&place, text)
}

/// A text that holds a mapping, or nothing.
fn parse(place: &Place, text: &str) -> Result<yaml::Parsed, ConfigError> {
    let mut parsed = yaml::parse(text).map_err(|error| {
        let place = match place {
            Place::File(file, _) => Place::File(file.clone(), Some(error.line)),
            other => other.clone(),
        };
        ConfigError::whole(place, format!("is no YAML: {}", error.reason))
    })?;
    match parsed.document {
        Value::Object(_) => Ok(parsed),
        Value::Null => {
            parsed.document = Value::Object(Map::new());
            Ok(parsed)
        }
        _ => {
            let name = match place {
                Place::File(file, _) => file.display().to_string(),
                Place::Variable(name) => name.clone(),
                Place::Nowhere => String::new(),
            };
            Err(ConfigError::whole(place.clone(), format!("invalid config file {name}")))
        }
    }
}
