//! How the local server is set up: directories, addresses, accounts, parameters. Data only.

use super::SandboxSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A text that must never be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How one of Regent's accounts logs in: only what was configured is set, the rest is libpq's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Further libpq settings by name: sslmode, sslcert, sslkey, sslrootcert, sslcrl, sslcrldir, gssencmode,
    /// channel_binding, sslnegotiation. `sslpassword` is kept apart, being secret.
    pub options: BTreeMap<String, String>,
    /// Password of the client key.
    pub sslpassword: Option<Secret>,
}

/// The three accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Administers the server.
    pub superuser: Account,
    /// Streams from it.
    pub replication: Account,
    /// Runs pg_rewind against it; the superuser where it is not configured.
    pub rewind: Option<Account>,
}

/// One line of output of a list or map of options: `--name` or `--name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOption {
    /// Without the dashes.
    pub name: String,
    /// After the equals sign, where there is one.
    pub value: Option<String>,
}

/// A bootstrap or replica method of the operator's: the section of its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodSettings {
    /// Its name.
    pub name: String,
    /// The command; the method's name where none is given.
    pub command: Option<String>,
    /// What it may reach where it is a component that runs in a sandbox, instead of a command.
    pub sandbox: Option<SandboxSettings>,
    /// Leaves the data directory in place before and after.
    pub keep_data: bool,
    /// Passes none of the usual arguments.
    pub no_params: bool,
    /// Works without a server to stream from.
    pub no_leader: bool,
    /// Every other key in the order written: passed as `--key=value`.
    pub arguments: Vec<(String, String)>,
}

/// What a role runs on: parameters and access rules may differ by role.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleOverrides {
    /// `parameters_primary` and its like.
    pub parameters: BTreeMap<String, String>,
    /// `pg_hba_primary` and its like: replaces the list.
    pub pg_hba: Option<Vec<String>>,
    /// `pg_ident_primary` and its like: replaces the list.
    pub pg_ident: Option<Vec<String>>,
}

/// Everything about the local server that configuration decides, after all layers were merged.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    /// This member's name (application_name, slot name).
    pub name: String,
    /// The cluster's name (`cluster_name`).
    pub scope: String,
    /// PGDATA.
    pub data_dir: PathBuf,
    /// Where the generated files go; PGDATA by default.
    pub config_dir: PathBuf,
    /// Base of the main configuration file's name: `postgresql`.
    pub config_base_name: String,
    /// Included instead of the original configuration file.
    pub custom_conf: Option<PathBuf>,
    /// Where the binaries are; empty: PATH.
    pub bin_dir: Option<PathBuf>,
    /// Names of binaries that differ from the usual.
    pub bin_name: BTreeMap<String, String>,
    /// Addresses to listen on, comma-separated as PostgreSQL wants them.
    pub listen_addresses: String,
    /// Port to listen on.
    pub port: u16,
    /// `host:port` that others use to reach this server.
    pub connect_address: String,
    /// Published as proxy_url.
    pub proxy_address: Option<String>,
    /// Database for our own connections.
    pub database: String,
    /// Password file that we write for children and walreceivers.
    pub pgpass: PathBuf,
    /// Kerberos service name.
    pub krbsrvname: Option<String>,
    /// The accounts.
    pub accounts: Accounts,
    /// Local connections go through a Unix socket.
    pub use_unix_socket: bool,
    /// Local replication connections go through a Unix socket.
    pub use_unix_socket_repl: bool,
    /// Parameters for every role: lower-case names, controlled ones validated and defaulted.
    pub parameters: BTreeMap<String, String>,
    /// Names among the parameters, of any role, of which only the server's own program can say whether it knows them.
    pub unlisted: BTreeSet<String>,
    /// What differs for a primary.
    pub primary: RoleOverrides,
    /// What differs for a replica.
    pub replica: RoleOverrides,
    /// What differs for a standby leader.
    pub standby_leader: RoleOverrides,
    /// Lines of pg_hba.conf; `None`: the file is left as it is.
    pub pg_hba: Option<Vec<String>>,
    /// Lines of pg_ident.conf; `None`: the file is left as it is.
    pub pg_ident: Option<Vec<String>>,
    /// Further recovery settings.
    pub recovery_conf: BTreeMap<String, String>,
    /// Commands by event name: on_start, on_stop, on_restart, on_reload, on_role_change.
    pub callbacks: BTreeMap<String, String>,
    /// Replica methods in order, `basebackup` among them where it is wanted.
    pub create_replica_methods: Vec<String>,
    /// Settings of each configured method by name.
    pub methods: BTreeMap<String, MethodSettings>,
    /// Options of pg_basebackup.
    pub basebackup: Vec<CommandOption>,
    /// Extra options of pg_rewind.
    pub rewind_options: Vec<CommandOption>,
    /// How long a start may take before it counts as failed (an unfinished recovery does not).
    pub start_timeout: Duration,
    /// Runs before a promotion; non-zero forbids it.
    pub pre_promote: Option<String>,
    /// Runs before a stop.
    pub before_stop: Option<String>,
    /// Members stream through slots.
    pub use_slots: bool,
}

/// How the first server of a new cluster comes to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BootstrapSettings {
    /// `initdb`, or the name of a custom method.
    pub method: Option<MethodSettings>,
    /// Options of initdb.
    pub initdb: Vec<CommandOption>,
    /// Lines appended to pg_hba.conf.
    pub pg_hba: Vec<String>,
    /// Runs once the new server is up, with a connection string.
    pub post_bootstrap: Option<String>,
    /// Roles to create: name, password, options (deprecated `users`).
    pub users: Vec<BootstrapUser>,
    /// Recovery settings of a custom method.
    pub recovery_conf: Option<BTreeMap<String, String>>,
    /// A custom method's own recovery settings are kept.
    pub keep_existing_recovery_conf: bool,
}

/// A role to create in a new cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Option<Secret>,
    /// `CREATEDB` and its like.
    pub options: Vec<String>,
}

/// A server that can be streamed from: what a walreceiver, pg_basebackup or pg_rewind needs to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The member's name; for a remote site, a name that no member has.
    pub name: String,
    /// Host, or several separated by commas.
    pub host: String,
    /// Port, or several separated by commas.
    pub port: String,
    /// The slot to use there; `None` for none.
    pub slot: Option<String>,
}

/// How the names of remote sides begin.
const REMOTE: &str = "remote_member:";

impl Source {
    /// The remote side of a standby cluster; `None` where there is only an archive (SB-05).
    pub fn remote(site: &super::StandbyCluster, use_slots: bool) -> Option<Source> {
        if site.host.is_none() && site.port.is_none() {
            return None;
        }
        let host = site.host.clone().unwrap_or_else(|| "localhost".to_owned());
        let port = site.port.clone().unwrap_or_else(|| "5432".to_owned());
        let slot = site.primary_slot_name.clone().filter(|_| use_slots);
        Some(Source { name: format!("{REMOTE}{host}:{port}"), host, port, slot })
    }

    /// It is no member of this cluster.
    pub fn is_remote(&self) -> bool {
        self.name.starts_with(REMOTE)
    }
}
