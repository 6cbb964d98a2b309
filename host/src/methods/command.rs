//! The operator's command as a replica method.

use super::{Outcome, Request};
use crate::postgres::{Dsn, PgError, Program, describe, split};
use regent_core::model::MethodSettings;

pub(super) async fn run(method: &MethodSettings, request: &Request) -> Result<Outcome, PgError> {
    let server = &request.server;
    let command = method.command.as_deref().unwrap_or(&method.name);
    let words = match split(command) {
        Ok(words) => words,
        Err(error) => return Ok(Outcome::TryNext(error.to_string())),
    };
    let mut program = Program::from_words(words).args(arguments(method, request)).works_on(&server.settings.data_dir);
    if let Some(source) = &request.source
        && let Some(passfile) = server.prepare_source_password(source).await?
    {
        program = program.env("PGPASSFILE", passfile);
    }
    tracing::info!("running {}", program.command_line());
    let status = program.logged(&method.name).await?;
    if status.success() {
        return Ok(Outcome::Done);
    }
    Ok(Outcome::TryNext(format!("{} {}", program.command_line(), describe(status))))
}

fn arguments(method: &MethodSettings, request: &Request) -> Vec<String> {
    let settings = &request.server.settings;
    let mut arguments = Vec::new();
    if !method.no_params {
        let account = &settings.accounts.replication;
        let dsn = request
            .source
            .as_ref()
            .map(|source| Dsn::to_source(settings, request.server.binaries.version(), account, source).to_string());
        arguments.extend([
            format!("--scope={}", settings.scope),
            "--role=replica".to_owned(),
            format!("--datadir={}", settings.data_dir.display()),
            format!("--connstring={}", dsn.unwrap_or_default()),
        ]);
    }
    let ours = ["command", "no_params", "no_leader", "no_master", "keep_data"];
    let hidden = |key: &str| key == "command" || method.no_params && ours.contains(&key);
    let own = method.arguments.iter().filter(|(key, _)| !hidden(key));
    arguments.extend(own.map(|(key, value)| format!("--{key}={value}")));
    if !method.no_params {
        // The peer passes these on as well, and scripts may read them.
        for (key, set) in [("keep_data", method.keep_data), ("no_leader", method.no_leader)] {
            let said =
                method.arguments.iter().any(|(name, _)| name == key || key == "no_leader" && name == "no_master");
            if set && !said {
                arguments.push(format!("--{key}=True"));
            }
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use regent_core::model::Source;

    fn check(method: &MethodSettings, source: Option<Source>, expected: &str) {
        let server = crate::postgres::Server::for_tests(|_| {});
        assert_eq!(arguments(method, &Request { server, source }).join(" "), expected);
    }

    #[test]
    fn arguments_are_as_the_contract_says() {
        // BOOT-08, BOOT-10
        let source = Source { name: "b".into(), host: "h".into(), port: "5433".into(), slot: None };
        let mut method = MethodSettings {
            name: "wal_g".into(),
            arguments: vec![("threshold".into(), "10".into())],
            ..MethodSettings::default()
        };
        check(
            &method,
            Some(source.clone()),
            "--scope=demo --role=replica --datadir=/data --connstring=dbname=postgres host=h port=5433 --threshold=10",
        );
        method.no_leader = true;
        check(
            &method,
            None,
            "--scope=demo --role=replica --datadir=/data --connstring= --threshold=10 --no_leader=True",
        );
        method.no_params = true;
        method.arguments.push(("keep_data".into(), "1".into()));
        check(&method, Some(source), "--threshold=10");
    }
}
