//! What a new cluster needs before anybody uses it: accounts, and the operator's script.

use super::MethodError;
use crate::postgres::{Connection, Dsn, PgError, Program, Purpose, Server, describe, identifier, literal, split};
use regent_core::model::{BootstrapSettings, Secret};
use std::time::Duration;

/// A new cluster has no load; a statement that takes longer hangs.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// What the rewind account must be allowed to call.
const REWIND_FUNCTIONS: [&str; 4] = [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

/// Keeps what follows in the session out of the server's log, and does not wait for standbys, of which there are none.
const QUIET: &str = "SET synchronous_commit = 'local'; SET log_statement = 'none'; SET log_min_duration_statement = -1; \
                     SET log_min_error_statement = 'panic'; SET \"pgaudit.log\" = 'none'";

/// Sets up the accounts and runs the operator's script at the new primary, which must be running.
pub async fn post_bootstrap(server: &Server, bootstrap: &BootstrapSettings) -> Result<(), MethodError> {
    let accounts = &server.settings.accounts;
    let mut connection = Connection::new(server, Purpose::Work);
    connection.execute("the preparation of accounts", QUIET, STATEMENT_LIMIT).await?;
    let superuser = accounts.superuser.username.clone().unwrap_or_default();
    if let Some(password) = accounts.superuser.password.as_ref().filter(|_| !superuser.is_empty()) {
        set_role(&mut connection, &superuser, Some(password), "SUPERUSER LOGIN").await?;
    }
    if let Some(command) = &bootstrap.post_bootstrap {
        run_script(server, command).await?;
    }
    let replication = accounts.replication.username.clone().unwrap_or_default();
    if !replication.is_empty() && replication != superuser {
        let password = accounts.replication.password.as_ref();
        set_role(&mut connection, &replication, password, "REPLICATION LOGIN").await?;
    }
    if let Some(account) = accounts.rewind.as_ref().filter(|_| server.binaries.version() >= 110_000)
        && let Some(name) = account.username.as_ref().filter(|name| **name != superuser)
    {
        set_role(&mut connection, name, account.password.as_ref(), "LOGIN").await?;
        for function in REWIND_FUNCTIONS {
            let sql = format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {}", identifier(name));
            connection.execute("a grant to the rewind account", &sql, STATEMENT_LIMIT).await?;
        }
    }
    for user in bootstrap.users.iter().filter(|user| user.name != superuser && user.name != replication) {
        let options = user_options(&user.options)?;
        set_role(&mut connection, &user.name, user.password.as_ref(), &options).await?;
    }
    Ok(())
}

/// The options of a configured user: key words only, since they become part of a statement.
fn user_options(options: &[String]) -> Result<String, MethodError> {
    let mut words: Vec<String> = options.iter().map(|option| option.trim().to_uppercase()).collect();
    if let Some(odd) = words.iter().find(|word| !word.chars().all(|c| c.is_ascii_alphanumeric() || " _".contains(c))) {
        return Err(MethodError::Option(format!("{odd:?} is no option of a role")));
    }
    if !words.iter().any(|word| word == "NOLOGIN") {
        words.push("LOGIN".into());
    }
    Ok(words.join(" "))
}

/// Creates the role, or changes it: a restored cluster has it already, with another password.
async fn set_role(
    connection: &mut Connection,
    name: &str,
    password: Option<&Secret>,
    options: &str,
) -> Result<(), PgError> {
    let exists = format!("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = {}", literal(name));
    let exists = !connection.rows("the search for a role", &exists, STATEMENT_LIMIT).await?.is_empty();
    let password = match password {
        Some(Secret(password)) => format!(" PASSWORD {}", literal(&hashed(connection, name, password).await?)),
        None => String::new(),
    };
    let verb = if exists { "ALTER" } else { "CREATE" };
    let sql = format!("{verb} ROLE {} WITH {options}{password}", identifier(name));
    connection.execute("the setup of a role", &sql, STATEMENT_LIMIT).await
}

/// The password as the server would store it, so that it never gets the password itself, which might end up in a log.
async fn hashed(connection: &mut Connection, name: &str, password: &str) -> Result<String, PgError> {
    if password.starts_with("SCRAM-SHA-256$") || password.len() == 35 && password.starts_with("md5") {
        return Ok(password.to_owned());
    }
    let rows = connection.rows("password_encryption", "SHOW password_encryption", STATEMENT_LIMIT).await?;
    let scram = rows.first().and_then(|row| row.try_get(0).ok().flatten()) == Some("scram-sha-256");
    Ok(if scram {
        postgres_protocol::password::scram_sha_256(password.as_bytes())
    } else {
        postgres_protocol::password::md5(password.as_bytes(), name)
    })
}

/// BOOT-02: `COMMAND... DSN`, the password in a file that the environment names.
async fn run_script(server: &Server, command: &str) -> Result<(), MethodError> {
    let settings = &server.settings;
    let words = split(command).map_err(|source| MethodError::Command { name: "post_bootstrap".into(), source })?;
    let (host, port) = server.local_endpoint();
    let account = &settings.accounts.superuser;
    let dsn = Dsn::to_local(settings, server.binaries.version(), account, &host, port);
    let mut program = Program::from_words(words)
        .arg(dsn.to_string())
        .env("PGOPTIONS", "-c synchronous_commit=local -c statement_timeout=0");
    if let Some(passfile) = server.prepare_local_password(&host, port).await? {
        program = program.env("PGPASSFILE", passfile);
    }
    let status = program.logged("post_bootstrap").await?;
    if !status.success() {
        tracing::error!("post_init script {command} returned non-zero code {}", status.code().unwrap_or(-1));
        return Err(MethodError::Script { name: format!("post_init script {command}"), status: describe(status) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_options_are_key_words() {
        // CFG-33
        let check = |options: &[&str], expected: Option<&str>| {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            assert_eq!(user_options(&options).ok().as_deref(), expected);
        };
        check(&["createdb", "createrole"], Some("CREATEDB CREATEROLE LOGIN"));
        check(&["nologin"], Some("NOLOGIN"));
        check(&["connection limit 5"], Some("CONNECTION LIMIT 5 LOGIN"));
        check(&["superuser; drop"], None);
    }
}
