//! The first data directory of a cluster: by initdb, or by the operator's method (usually a restore).

use super::create::look_over;
use super::{MethodError, Outcome, Progress, Request, sandbox};
use crate::postgres::{NO_LIMIT, PgError, Program, Server, Tool, split};
use regent_core::model::{BootstrapSettings, CommandOption, MethodSettings, Secret};
use std::io::Write;
use std::path::Path;

/// Options of initdb that are ours to give, or that would make an unsafe server.
const BLOCKED: [&str; 5] = ["pgdata", "nosync", "pwfile", "sync-only", "version"];

/// Makes the data directory with initdb (BOOT-01). The server is not started.
pub async fn bootstrap_initdb(server: &Server, bootstrap: &BootstrapSettings) -> Result<(), MethodError> {
    let account = &server.settings.accounts.superuser;
    // With the daemon's own language: the new cluster's locale comes from it (OPS-14).
    let mut program = Program::new(server.binaries.path(Tool::Initdb)?).args(initdb_options(&bootstrap.initdb)?);
    if let Some(user) = &account.username {
        program = program.arg(format!("--username={user}"));
    }
    // Kept until initdb has read it; removed when it goes out of scope, also when this future is dropped.
    let password = account.password.as_ref().map(password_file).transpose()?;
    if let Some(file) = &password {
        program = program.arg(format!("--pwfile={}", file.path().display()));
    }
    let program = program.arg(&server.settings.data_dir).works_on(&server.settings.data_dir);
    tracing::info!("running {}", program.command_line());
    let output = program.succeed(NO_LIMIT).await?;
    tracing::debug!("initdb: {}", output.stdout.trim_end());
    drop(password);
    server.append_access(&bootstrap.pg_hba).await?;
    server.save_configuration().await?;
    Ok(())
}

fn password_file(Secret(password): &Secret) -> Result<tempfile::NamedTempFile, MethodError> {
    let failed = |source| PgError::Io { what: "could not write a password file".into(), source };
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    writeln!(file, "{password}").map_err(failed)?;
    Ok(file)
}

fn initdb_options(options: &[CommandOption]) -> Result<Vec<String>, MethodError> {
    options
        .iter()
        .map(|option| {
            let name = option.name.trim_start_matches('-');
            if BLOCKED.contains(&name) {
                return Err(MethodError::Option(format!("{name} option for initdb is not allowed")));
            }
            let value = match &option.value {
                None => return Ok(format!("--{name}")),
                Some(value) => value,
            };
            // A value may come quoted as for a shell; no shell will take the quotes away.
            let unquoted = match split(value) {
                Ok(words) if words.len() == 1 => words.concat(),
                _ => value.clone(),
            };
            Ok(format!("--{name}={unquoted}"))
        })
        .collect()
}

/// Makes the data directory with the operator's method (BOOT-03) and brings its configuration in order. The server is
/// not started: it is to be started as [`crate::postgres::Wanted::custom_bootstrap`] says.
pub async fn bootstrap_custom(
    server: &Server,
    method: &MethodSettings,
    bootstrap: &BootstrapSettings,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), MethodError> {
    let refused = |wrong| MethodError::Refused { name: method.name.clone(), wrong };
    if let Some(settings) = &method.sandbox {
        let request = Request { server: server.clone(), source: None };
        match sandbox::run(method, settings, &request, sandbox::Purpose::Bootstrap, progress).await? {
            Outcome::Done => {}
            Outcome::TryNext(wrong) | Outcome::Fatal(wrong) => {
                return Err(MethodError::Script { name: method.name.clone(), status: wrong });
            }
        }
    } else {
        let program = custom_program(server, method)?;
        tracing::info!("running {}", program.command_line());
        let status = program.logged(&method.name).await?;
        if !status.success() {
            return Err(MethodError::Script { name: method.name.clone(), status: crate::postgres::describe(status) });
        }
        look_over(server).await?.map_err(refused)?;
    }
    server.restore_configuration().await?;
    server.append_access(&bootstrap.pg_hba).await?;
    Ok(())
}

fn custom_program(server: &Server, method: &MethodSettings) -> Result<Program, MethodError> {
    let command = method.command.as_deref().unwrap_or(&method.name);
    let words = split(command).map_err(|source| MethodError::Command { name: method.name.clone(), source })?;
    let settings = &server.settings;
    let arguments = custom_arguments(&settings.scope, &settings.data_dir, method);
    Ok(Program::from_words(words).args(arguments).works_on(&settings.data_dir))
}

fn custom_arguments(scope: &str, data_dir: &Path, method: &MethodSettings) -> Vec<String> {
    let mut arguments = Vec::new();
    if !method.no_params {
        arguments.extend([format!("--scope={scope}"), format!("--datadir={}", data_dir.display())]);
    }
    let reserved =
        ["command", "no_params", "keep_existing_recovery_conf", "recovery_conf", "scope", "datadir"].map(str::to_owned);
    let own = method.arguments.iter().filter(|(key, _)| !reserved.contains(key));
    arguments.extend(own.map(|(key, value)| format!("--{key}={value}")));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initdb_options_are_unquoted_and_some_are_refused() {
        // BOOT-01
        let option =
            |name: &str, value: Option<&str>| CommandOption { name: name.into(), value: value.map(str::to_owned) };
        let check = |name, value, expected: &str| {
            assert_eq!(initdb_options(&[option(name, value)]).unwrap(), [expected.to_owned()]);
        };
        check("data-checksums", None, "--data-checksums");
        check("locale", Some("'de_DE.UTF 8'"), "--locale=de_DE.UTF 8");
        check("x", Some("a b"), "--x=a b");
        let refused = initdb_options(&[option("pwfile", Some("x"))]).unwrap_err();
        assert_eq!(refused.to_string(), "pwfile option for initdb is not allowed");
    }

    #[test]
    fn a_custom_method_gets_its_keys_in_order() {
        // BOOT-03
        let mut method = MethodSettings {
            name: "m".into(),
            arguments: vec![("b".into(), "1".into()), ("a".into(), "x y".into())],
            ..MethodSettings::default()
        };
        let arguments = |method: &MethodSettings| custom_arguments("demo", Path::new("/data"), method).join("|");
        assert_eq!(arguments(&method), "--scope=demo|--datadir=/data|--b=1|--a=x y");
        method.no_params = true;
        assert_eq!(arguments(&method), "--b=1|--a=x y");
    }
}
