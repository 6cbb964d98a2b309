//! `postgresql`: how the local server is set up.

use super::accounts;
use super::addresses::HostPort;
use super::gucs;
use super::methods::{named, options, order};
use super::parameters;
use super::reading::{Layers, pairs, some_text_at, truth_at};
use super::units::{list, seconds};
use crate::ports;
use regent_core::model::{RoleOverrides, ServerSettings, Settings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// PostgreSQL's port where none is given.
const PORT: u16 = 5432;

/// The local server. Keys that only the member itself may set are read from the local document alone.
pub(super) fn build(
    layers: Layers<'_>,
    settings: &Settings,
    version: u32,
    warnings: &mut Vec<String>,
) -> ServerSettings {
    let own = |key: &str| some_text_at(layers.local, &format!("postgresql.{key}"));
    let word = |key: &str| layers.either_text(&format!("postgresql.{key}"));
    let flag = |key: &str| layers.either_truth(&format!("postgresql.{key}"));
    let either = |key: &str| layers.either(&format!("postgresql.{key}"));
    let listen = HostPort::read(&own("listen").unwrap_or_default(), PORT);
    let data_dir = PathBuf::from(own("data_dir").unwrap_or_default());
    let order = order(layers);
    let mut unlisted = BTreeSet::new();
    let mut taken = |mut parameters: BTreeMap<String, String>, warnings: &mut Vec<String>| {
        unlisted.extend(gucs::prune(&mut parameters, version, warnings));
        parameters
    };
    let parameters = taken(all_parameters(layers, settings, &listen, version, warnings), warnings);
    let mut for_role = |role: &str| RoleOverrides {
        parameters: taken(parameters::for_role(layers, role, warnings), warnings),
        ..access_for_role(layers, role)
    };
    let (primary, replica, standby_leader) = (for_role("primary"), for_role("replica"), for_role("standby_leader"));
    ServerSettings {
        name: settings.name.clone(),
        scope: settings.scope.clone(),
        config_dir: own("config_dir").map_or_else(|| data_dir.clone(), PathBuf::from),
        data_dir,
        config_base_name: word("config_base_name").unwrap_or_else(|| "postgresql".to_owned()),
        custom_conf: word("custom_conf").map(PathBuf::from),
        bin_dir: word("bin_dir").map(PathBuf::from),
        bin_name: strings(either("bin_name")),
        connect_address: connect_address(own("connect_address"), &listen),
        parameters,
        unlisted,
        listen_addresses: listen.host,
        port: listen.port,
        proxy_address: own("proxy_address"),
        database: word("database").unwrap_or_else(|| "postgres".to_owned()),
        pgpass: pgpass(own("pgpass")),
        krbsrvname: word("krbsrvname"),
        accounts: accounts::build(layers.local),
        use_unix_socket: flag("use_unix_socket"),
        use_unix_socket_repl: flag("use_unix_socket_repl"),
        primary,
        replica,
        standby_leader,
        pg_hba: lines(either("pg_hba")),
        pg_ident: lines(either("pg_ident")),
        recovery_conf: recovery_conf(either("recovery_conf"), version, warnings),
        callbacks: strings(either("callbacks")),
        methods: named(layers, &order),
        create_replica_methods: order,
        basebackup: options(either("basebackup")),
        rewind_options: options(either("rewind")),
        start_timeout: either("pg_ctl_timeout").and_then(seconds).unwrap_or(Duration::from_secs(60)),
        pre_promote: word("pre_promote"),
        before_stop: word("before_stop"),
        use_slots: truth_at(layers.dynamic, "postgresql.use_slots").unwrap_or(true),
    }
}

/// The parameters, and with them those that follow from other keys.
fn all_parameters(
    layers: Layers<'_>,
    settings: &Settings,
    listen: &HostPort,
    version: u32,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut parameters = parameters::merge(layers, version, warnings);
    parameters.insert("listen_addresses".to_owned(), listen.host.clone());
    parameters.insert("port".to_owned(), listen.port.to_string());
    if version == 0 || version >= 90_500 {
        parameters.insert("cluster_name".to_owned(), settings.scope.clone());
    }
    parameters
}

/// Where others reach the server: as configured, or the first usable address that it listens on.
fn connect_address(configured: Option<String>, listen: &HostPort) -> String {
    let address = configured.map(|text| HostPort::read(&text, listen.port));
    address.unwrap_or_else(|| listen.reached_at()).to_string()
}

/// `~` is our own home.
fn pgpass(configured: Option<String>) -> PathBuf {
    let home = ports::home_directory;
    match configured {
        None => home().join("pgpass"),
        Some(path) => match path.strip_prefix("~/") {
            Some(below) => home().join(below),
            None => PathBuf::from(path),
        },
    }
}

/// What lists say for a role (CFG-42): they replace the common ones.
fn access_for_role(layers: Layers<'_>, role: &str) -> RoleOverrides {
    let list = |name: &str| lines(layers.either(&format!("postgresql.{name}_{role}")));
    RoleOverrides { pg_hba: list("pg_hba"), pg_ident: list("pg_ident"), ..RoleOverrides::default() }
}

/// Settings of recovery, as far as the server takes them.
fn recovery_conf(section: Option<&Value>, version: u32, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut conf = strings(section).into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    gucs::prune_recovery(&mut conf, version, warnings);
    conf
}

fn lines(value: Option<&Value>) -> Option<Vec<String>> {
    value.filter(|value| value.is_array()).map(list)
}

fn strings(value: Option<&Value>) -> BTreeMap<String, String> {
    pairs(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(local: Value, dynamic: Value) -> ServerSettings {
        let layers = Layers { local: &local, dynamic: &dynamic };
        let settings = crate::config::settings::build(layers, &mut Vec::new());
        build(layers, &settings, 150_000, &mut Vec::new())
    }

    #[test]
    fn a_minimal_section_is_enough() {
        // CFG-24, CFG-26
        let server = built(json!({"postgresql": {"listen": "*:5433", "data_dir": "/d"}}), json!({}));
        assert_eq!(server.connect_address, "localhost:5433");
        assert_eq!(server.config_dir, PathBuf::from("/d"));
        assert_eq!(server.database, "postgres");
        assert_eq!(server.pgpass, ports::home_directory().join("pgpass"));
        assert_eq!(server.create_replica_methods, ["basebackup"]);
        assert_eq!(server.start_timeout, Duration::from_secs(60));
        assert_eq!((server.pg_hba, server.accounts.rewind), (None, None));
        assert_eq!(server.parameters["listen_addresses"], "*");
    }

    #[test]
    fn some_keys_are_the_members_own_and_others_come_from_both() {
        // CFG-05
        let server = built(
            json!({"postgresql": {"listen": "10.0.0.1", "pg_hba": ["local"], "callbacks": {"on_start": "x"}}}),
            json!({"postgresql": {
                "listen": "*:1", "connect_address": "evil", "data_dir": "/evil", "pgpass": "/evil",
                "authentication": {"superuser": {"username": "evil"}},
                "pg_hba": ["shared"], "pg_ident": ["shared"], "callbacks": {"on_stop": "y"}, "pg_ctl_timeout": "2min",
                "recovery_conf": {"Restore_Command": "cp"}, "pg_hba_replica": ["r"],
            }}),
        );
        assert_eq!((server.listen_addresses.as_str(), server.port), ("10.0.0.1", 5432));
        assert_eq!(server.connect_address, "10.0.0.1:5432");
        assert_eq!((server.data_dir, server.accounts.superuser.username), (PathBuf::new(), None));
        assert_eq!(server.pg_hba.unwrap(), ["local"]);
        assert_eq!(server.pg_ident.unwrap(), ["shared"]);
        assert_eq!(server.replica.pg_hba.unwrap(), ["r"]);
        let callbacks: Vec<_> = server.callbacks.keys().collect();
        assert_eq!(callbacks, ["on_start"], "the whole value wins");
        assert_eq!(server.start_timeout, Duration::from_secs(120));
        assert_eq!(server.recovery_conf["restore_command"], "cp");
    }

    #[test]
    fn addresses_are_completed() {
        let check = |section: Value, expected: &str| {
            let server = built(json!({ "postgresql": section }), json!({}));
            assert_eq!(server.connect_address, expected);
        };
        check(json!({"listen": "*:5433", "connect_address": "h"}), "h:5433");
        check(json!({"listen": "*:5433", "connect_address": "fd00::1:5434"}), "[fd00::1]:5434");
        check(json!({"listen": "[fd00::1]"}), "[fd00::1]:5432");
    }

    #[test]
    fn a_tilde_is_home() {
        assert_eq!(pgpass(Some("~/x".to_owned())), ports::home_directory().join("x"));
        assert_eq!(pgpass(Some("/y".to_owned())), PathBuf::from("/y"));
    }
}
