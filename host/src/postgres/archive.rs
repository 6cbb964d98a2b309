//! The commands that move log segments to and from an archive, run by us where the server cannot.

use super::Server;
use super::error::{PgError, blocking};
use super::run::Program;
use std::path::PathBuf;
use std::time::Duration;

/// How long one segment may take.
const SEGMENT_LIMIT: Duration = Duration::from_secs(300);

impl Server {
    /// Archives every segment that waits for it, oldest first, before pg_rewind or a new start could remove it. Stops at
    /// the first that fails: what comes after it would leave a gap.
    pub async fn archive_waiting_segments(&self) -> Result<(), PgError> {
        let mode = self.parameter_after_restart("archive_mode").await.unwrap_or_default();
        let command = self.parameter_after_restart("archive_command").await.unwrap_or_default();
        if !matches!(mode.as_str(), "on" | "always") || command.trim().is_empty() {
            return Ok(());
        }
        for name in self.waiting_segments().await? {
            let program = self.segment_command(&command, &name);
            let output = program.output(SEGMENT_LIMIT).await?;
            if !output.status.success() {
                tracing::warn!("could not archive {name}: {}", output.failure("archive_command"));
                return Ok(());
            }
            tracing::info!("archived {name}");
            let folder = self.wal_folder().join("archive_status");
            let (from, to) = (folder.join(format!("{name}.ready")), folder.join(format!("{name}.done")));
            blocking(move || std::fs::rename(&from, &to).map_err(PgError::io_at("rename", &from))).await?;
        }
        Ok(())
    }

    /// Fetches one file of the log from the archive into place; tells whether it came.
    pub(super) async fn restore_segment(&self, restore_command: &str, name: &str) -> Result<bool, PgError> {
        let output = self.segment_command(restore_command, name).output(SEGMENT_LIMIT).await?;
        if !output.status.success() {
            tracing::info!("could not fetch {name} from the archive: {}", output.failure("restore_command"));
        }
        Ok(output.status.success() && self.wal_folder().join(name).is_file())
    }

    /// Forgets which segments wait or are done.
    pub(super) async fn clear_archive_status(&self) -> Result<(), PgError> {
        let folder = self.wal_folder().join("archive_status");
        blocking(move || {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(PgError::io_at("remove", &path))?;
            }
            Ok(())
        })
        .await
    }

    pub(super) fn wal_folder(&self) -> PathBuf {
        self.settings.data_dir.join(self.wal_name())
    }

    fn wal_name(&self) -> &'static str {
        if self.binaries.version() >= 100_000 { "pg_wal" } else { "pg_xlog" }
    }

    async fn waiting_segments(&self) -> Result<Vec<String>, PgError> {
        let folder = self.wal_folder().join("archive_status");
        blocking(move || {
            let mut names: Vec<String> = std::fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".ready").map(str::to_owned))
                .collect();
            // History files first: a reader of the archive needs them to find its way.
            names.sort_by_key(|name| (!name.ends_with(".history"), name.clone()));
            Ok(names)
        })
        .await
    }

    /// As the server runs it: through a shell, in the data directory.
    fn segment_command(&self, command: &str, name: &str) -> Program {
        let path = format!("{}/{name}", self.wal_name());
        Program::new("/bin/sh").arg("-c").arg(expand(command, name, &path)).folder(&self.settings.data_dir)
    }
}

/// Replaces `%f`, `%p`, `%r` (no restart point is known here: the file itself, so that nothing older is removed) and
/// `%%`; anything else stays.
fn expand(command: &str, name: &str, path: &str) -> String {
    let mut expanded = String::new();
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        let replacement = match (c, chars.peek()) {
            ('%', Some('f' | 'r')) => name,
            ('%', Some('p')) => path,
            ('%', Some('%')) => "%",
            _ => {
                expanded.push(c);
                continue;
            }
        };
        expanded.push_str(replacement);
        chars.next();
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_expanded_as_the_server_does() {
        let check = |command, expected| assert_eq!(expand(command, "0001", "pg_wal/0001"), expected);
        check("cp %p /a/%f", "cp pg_wal/0001 /a/0001");
        check("date +%%s %x %", "date +%s %x %");
    }
}
