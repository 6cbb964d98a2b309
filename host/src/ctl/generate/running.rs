//! A configuration by which a server that runs already is taken over: its own settings, files and addresses.

use super::dsn::Dsn;
use super::sample::{FIXME, whole};
use super::{Here, at_port};
use crate::ctl::output;
use crate::ctl::query::connection::Connection;
use crate::ctl::query::libpq::Login;
use crate::ctl::{CtlError, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// All members have to agree on these, so that they are told even where they have their usual value.
const AGREED: &str = "'hot_standby', 'max_connections', 'max_locks_per_transaction', 'max_prepared_transactions', \
                      'max_replication_slots', 'max_wal_senders', 'max_worker_processes', 'track_commit_timestamp', \
                      'wal_keep_size', 'wal_keep_segments', 'wal_level', 'wal_log_hints'";

/// These follow from other keys of the configuration, or from the state of the cluster.
const ELSEWHERE: &str = "'cluster_name', 'config_file', 'data_directory', 'hba_file', 'ident_file', \
                         'listen_addresses', 'port', 'primary_conninfo', 'primary_slot_name', 'promote_trigger_file'";

/// What a line of pg_hba.conf begins with.
const ACCESS: [&str; 6] = ["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"];

/// Where sockets are where nobody says otherwise.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The configuration for the server that the string and libpq's variables name.
pub(super) async fn document(here: &Here, dsn: Option<&str>) -> Result<Value> {
    let dsn = Dsn::read(dsn.unwrap_or_default())?;
    let variable = |name: &str| {
        let found = crate::ports::environment().into_iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.into_string().ok()).filter(|value| !value.is_empty())
    };
    let port = dsn.get("port").or_else(|| variable("PGPORT")).unwrap_or_else(|| "5432".to_owned());
    let number: u16 = port.trim().parse().map_err(|_| CtlError::new(format!("{port} is no port")))?;
    let host = dsn.get("host").or_else(|| variable("PGHOST")).unwrap_or_else(|| usual_host(number));
    let host = host.split(',').next().unwrap_or_default().to_owned();
    let mut login = Login::new(dsn.get("user"), dsn.get("password"), dsn.get("dbname"));
    login.account.options.extend(dsn.options());
    if login.password(&host, number).is_none() && !host.starts_with('/') {
        let said = output::ask_secret("Please enter the user password: ");
        login.account.password = Some(said).filter(|said| !said.is_empty()).map(regent_core::model::Secret);
    }
    let opened = Connection::open(&host, number, &login).await;
    let mut server = Server { connection: opened.map_err(|failure| CtlError::new(failure.code_or_text()))? };
    if server.one("SELECT current_setting('is_superuser')").await? != "on" {
        return Err(CtlError::new("The provided user does not have superuser privilege"));
    }
    server.described(here, &login, &host, number, &dsn).await
}

fn usual_host(port: u16) -> String {
    let there = SOCKETS.iter().find(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists());
    there.map_or_else(|| "localhost".to_owned(), |folder| (*folder).to_owned())
}

struct Server {
    connection: Connection,
}

impl Server {
    async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>> {
        let answer = self.connection.ask(sql).await;
        let sheet =
            answer.map_err(|failure| CtlError::new(format!("the server refused: {}", failure.code_or_text())))?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(sheet.rows.iter().map(|row| row.iter().map(text).collect()).collect())
    }

    async fn one(&mut self, sql: &str) -> Result<String> {
        Ok(self.rows(sql).await?.into_iter().flatten().next().unwrap_or_default())
    }

    async fn setting(&mut self, name: &str) -> Result<String> {
        self.one(&format!("SELECT current_setting('{name}')")).await
    }

    async fn described(&mut self, here: &Here, login: &Login, host: &str, port: u16, dsn: &Dsn) -> Result<Value> {
        let Parameters { shared, own } = self.parameters().await?;
        let rewinds = self.setting("wal_log_hints").await? == "on" || self.setting("data_checksums").await? == "on";
        let data = self.setting("data_directory").await?;
        let etc = self.setting("config_file").await?;
        let etc = Path::new(&etc).parent().map(|folder| folder.to_string_lossy().into_owned());
        let programs = self.one("SELECT setting FROM pg_config WHERE name = 'BINDIR'").await?;
        let listen = self.setting("listen_addresses").await?;
        let listen = if listen.is_empty() { "localhost".to_owned() } else { listen };
        let port = port.to_string();
        let access =
            self.lines("hba_file", |line| line.split_whitespace().next().is_some_and(|word| ACCESS.contains(&word)));
        let access = access.await?;
        let identities = self.lines("ident_file", |_| true).await?;
        let scope = self.setting("cluster_name").await?;
        let scope = if scope.is_empty() { FIXME } else { scope.as_str() };
        let mut accounts = json!({"superuser": superuser(login, host, &port, dsn), "replication": {"username": FIXME, "password": FIXME}});
        if rewinds {
            accounts["rewind"] = json!({"username": FIXME, "password": FIXME});
        }
        let postgresql = json!({
            "authentication": accounts,
            "bin_dir": programs,
            "config_dir": etc.filter(|etc| *etc != data),
            "connect_address": at_port(&here.address, &port),
            "data_dir": data,
            "listen": at_port(&listen, &port),
            "parameters": own,
            "pg_hba": access,
            "pg_ident": Some(identities).filter(|lines| !lines.is_empty()),
        });
        let shared = json!({"postgresql": {"parameters": shared, "use_pg_rewind": rewinds, "use_slots": true}});
        Ok(whole(here, scope, shared, postgresql))
    }

    /// What was set anywhere, and what all members agree on.
    async fn parameters(&mut self) -> Result<Parameters> {
        let sql = format!(
            "SELECT name, current_setting(name) FROM pg_settings WHERE context <> 'internal' AND name NOT IN ({ELSEWHERE}) \
             AND name NOT LIKE 'recovery_target%' \
             AND (source IN ('configuration file', 'command line', 'environment variable') OR name IN ({AGREED})) \
             ORDER BY name"
        );
        let mut parameters = Parameters { shared: Map::new(), own: Map::new() };
        for row in self.rows(&sql).await? {
            let [name, value] = row.as_slice() else { continue };
            // Commands and paths are a machine's own.
            let own = name.ends_with("_command") || name.ends_with("_file") || name == "unix_socket_directories";
            let into = if own { &mut parameters.own } else { &mut parameters.shared };
            into.insert(name.clone(), json!(value));
        }
        Ok(parameters)
    }

    /// The lines of one of its files that say something.
    async fn lines(&mut self, setting: &str, counts: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let text = self.one(&format!("SELECT pg_read_file(current_setting('{setting}'))")).await?;
        let said =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#') && counts(line));
        Ok(said.map(str::to_owned).collect())
    }
}

/// Settings, by who may set them.
struct Parameters {
    shared: Map<String, Value>,
    own: Map<String, Value>,
}

fn superuser(login: &Login, host: &str, port: &str, dsn: &Dsn) -> Value {
    let mut account = Map::new();
    account.insert("username".to_owned(), json!(login.account.username));
    let password = port.parse().ok().and_then(|port| login.password(host, port));
    if let Some(password) = password {
        account.insert("password".to_owned(), json!(password));
    }
    account.extend(dsn.options().map(|(name, value)| (name, json!(value))));
    Value::Object(account)
}
