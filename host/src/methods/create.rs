//! Makes a replica's data directory: one method after another until one works.

use super::inspect::{Maker, inspect};
use super::{Method, MethodError, Outcome, Progress, Request};
use crate::postgres::{PgError, Server, blocking};
use regent_core::model::{ServerSettings, Source};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the size of the growing data directory is taken, for whoever watches.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// The methods named by `order`, as configured; pg_basebackup where none is named.
fn methods(settings: &ServerSettings, order: &[String]) -> Vec<Method> {
    if order.is_empty() {
        return vec![Method::Basebackup];
    }
    order
        .iter()
        .filter_map(|name| match (name.as_str(), settings.methods.get(name)) {
            ("basebackup", _) => Some(Method::Basebackup),
            (_, Some(method)) => Some(match &method.sandbox {
                Some(sandbox) => Method::Sandboxed(method.clone(), sandbox.clone()),
                None => Method::Command(method.clone()),
            }),
            (_, None) => {
                tracing::error!("the replica method {name} has no section in the configuration: leaving it out");
                None
            }
        })
        .collect()
}

/// Makes the data directory from `source` with the methods in `order` and brings its configuration in order; returns
/// the name of the method that worked. When none did, the data directory is removed, unless the last one wants it kept.
/// Dropping the future ends the running method; what it began is removed, unless it wants it kept.
pub async fn create_replica(
    server: &Server,
    source: Option<&Source>,
    order: &[String],
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<String, MethodError> {
    let request = Request { server: server.clone(), source: source.cloned() };
    let mut reason = "no method fits".to_owned();
    let mut keep = true;
    for method in methods(&server.settings, order) {
        if source.is_none() && !method.works_without_source() {
            continue;
        }
        keep = method.keeps_data();
        if !keep {
            clear(server).await?;
        }
        let unfinished = Unfinished { server: (!keep).then_some(server) };
        let outcome = looked_over(&method, &request, progress).await?;
        unfinished.ended();
        match outcome {
            Outcome::Done => {
                tracing::info!("replica has been created using {}", method.name());
                server.restore_configuration().await?;
                server.close_data_directory().await?;
                return Ok(method.name().to_owned());
            }
            Outcome::TryNext(why) => {
                tracing::error!("Error creating replica using method {}: {why}", method.name());
                reason = why;
            }
            Outcome::Fatal(why) => {
                tracing::error!("Error creating replica using method {}: {why}", method.name());
                reason = why;
                break;
            }
        }
    }
    if !keep {
        clear(server).await?;
    }
    Err(MethodError::NoneWorked(reason))
}

/// While a method runs. A server that were started on a part of a copy could come up, with holes in its data.
struct Unfinished<'a> {
    server: Option<&'a Server>,
}

impl Unfinished<'_> {
    fn ended(mut self) {
        self.server = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(server) = self.server {
            server.remove_when_ended();
        }
    }
}

/// What cannot be removed is put aside.
async fn clear(server: &Server) -> Result<(), MethodError> {
    if let Err(error) = server.remove_data_directory().await {
        tracing::error!("could not remove the data directory, putting it aside: {error}");
        server.rename_failed_data_directory().await?;
    }
    Ok(())
}

/// Runs the method; work that no server may be started on counts as none.
async fn looked_over(
    method: &Method,
    request: &Request,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Outcome, MethodError> {
    let outcome = with_progress(method, request, progress).await?;
    // What a component made was looked over before it got into the data directory.
    if outcome != Outcome::Done || matches!(method, Method::Sandboxed(..)) {
        return Ok(outcome);
    }
    let wrong = match look_over(&request.server).await {
        Ok(Ok(())) => return Ok(outcome),
        Ok(Err(wrong)) => wrong,
        // Files of another owner, say: the next method may do better.
        Err(error) => describe(&error),
    };
    if method.keeps_data() {
        request.server.rename_failed_data_directory().await?;
    }
    Ok(Outcome::TryNext(format!("its work was refused: {wrong}")))
}

fn describe(error: &PgError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Looks over what a program made. An `Err` inside says what is wrong with it.
pub(super) async fn look_over(server: &Server) -> Result<Result<(), String>, PgError> {
    let data_dir = server.settings.data_dir.clone();
    blocking(move || {
        if data_dir.is_dir() {
            inspect(&data_dir, Maker::Trusted)
        } else {
            Ok(Err("there is no data directory".into()))
        }
    })
    .await
}

async fn with_progress(
    method: &Method,
    request: &Request,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Outcome, MethodError> {
    let report = async {
        let mut interval = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            interval.tick().await;
            let folder = request.server.settings.data_dir.clone();
            let bytes = tokio::task::spawn_blocking(move || size_of(&folder)).await.unwrap_or(0);
            let (bytes_total, files, message) = (None, None, String::new());
            progress(Progress { method: method.name().to_owned(), bytes, bytes_total, files, message });
        }
    };
    if matches!(method, Method::Sandboxed(..)) {
        return Ok(method.run(request, progress).await?);
    }
    tokio::select! {
        biased;
        outcome = method.run(request, progress) => Ok(outcome?),
        () = report => Err(MethodError::NoneWorked("the progress report ended".into())),
    }
}

/// How many bytes the files below `folder` hold; what vanishes while it is counted does not count.
fn size_of(folder: &Path) -> u64 {
    let mut total = 0;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => total += meta.len(),
                Err(_) => {}
            }
        }
    }
    total
}

#[cfg(test)]
mod tests;
