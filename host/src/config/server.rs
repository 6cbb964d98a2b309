//! How the local server is set up, and how a new cluster comes to be.

use super::accounts::accounts;
use super::parameters::{self, is_controlled};
use super::value::{at, integer_at, list, text, text_at, truth, truth_at};
use regent_core::model::{
    BootstrapSettings, BootstrapUser, CommandOption, MethodSettings, RoleOverrides, Secret, ServerSettings, Settings,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Host and port of `listen`: `host[,host2]:port`, IPv6 with or without brackets, 5432 where none is given.
fn listen(text: &str) -> (String, u16) {
    let (hosts, port) = match text.rsplit_once(':') {
        Some((hosts, port)) if port.parse::<u16>().is_ok() && (!hosts.contains(':') || hosts.ends_with(']')) => {
            (hosts, port.parse().unwrap_or(5432))
        }
        _ => (text, 5432),
    };
    let host = |host: &str| host.trim().trim_matches(['[', ']']).to_owned();
    (hosts.split(',').map(host).collect::<Vec<_>>().join(","), port)
}

/// The first address that others can use.
fn default_connect_address(hosts: &str, port: u16) -> String {
    let everywhere = ["*", "0.0.0.0", "::", ""];
    let host = hosts.split(',').find(|host| !everywhere.contains(host)).unwrap_or("127.0.0.1");
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The local server.
pub(super) fn build(
    local: &Value,
    dynamic: &Value,
    settings: &Settings,
    version: u32,
    warnings: &mut Vec<String>,
) -> ServerSettings {
    let own = |key: &str| text_at(local, &format!("postgresql.{key}"));
    let both = |key: &str| {
        let path = format!("postgresql.{key}");
        at(local, &path).or_else(|| at(dynamic, &path))
    };
    let flag = |key: &str| both(key).and_then(truth).unwrap_or(false);
    let lines = |key: &str| both(key).filter(|value| value.is_array()).map(list);
    let (listen_addresses, port) = listen(&own("listen").unwrap_or_default());
    let data_dir = PathBuf::from(own("data_dir").unwrap_or_default());
    let mut parameters = parameters::merge(local, dynamic, version, warnings);
    parameters.insert("listen_addresses".to_owned(), listen_addresses.clone());
    parameters.insert("port".to_owned(), port.to_string());
    parameters.insert("cluster_name".to_owned(), settings.scope.clone());
    let mut overrides = |role: &str| role_overrides(local, dynamic, role, warnings);
    let (primary, replica, standby_leader) = (overrides("primary"), overrides("replica"), overrides("standby_leader"));
    let order = both("create_replica_methods").or_else(|| both("create_replica_method")).map(list).unwrap_or_default();
    ServerSettings {
        name: settings.name.clone(),
        scope: settings.scope.clone(),
        config_dir: own("config_dir").map_or_else(|| data_dir.clone(), PathBuf::from),
        data_dir,
        config_base_name: own("config_base_name").unwrap_or_else(|| "postgresql".to_owned()),
        custom_conf: own("custom_conf").map(PathBuf::from),
        bin_dir: own("bin_dir").map(PathBuf::from),
        bin_name: strings(at(local, "postgresql.bin_name")),
        connect_address: own("connect_address").unwrap_or_else(|| default_connect_address(&listen_addresses, port)),
        listen_addresses,
        port,
        proxy_address: own("proxy_address"),
        database: own("database").unwrap_or_else(|| "postgres".to_owned()),
        pgpass: own("pgpass").map_or_else(default_pgpass, PathBuf::from),
        krbsrvname: own("krbsrvname"),
        accounts: accounts(local),
        use_unix_socket: flag("use_unix_socket"),
        use_unix_socket_repl: flag("use_unix_socket_repl"),
        parameters,
        primary,
        replica,
        standby_leader,
        pg_hba: lines("pg_hba"),
        pg_ident: lines("pg_ident"),
        recovery_conf: strings(both("recovery_conf")),
        callbacks: strings(both("callbacks")),
        methods: methods(local, dynamic, &order),
        create_replica_methods: if order.is_empty() { vec!["basebackup".to_owned()] } else { order },
        basebackup: both("basebackup").map(options).unwrap_or_default(),
        rewind_options: both("rewind").map(options).unwrap_or_default(),
        start_timeout: seconds_or(integer_at(local, "postgresql.pg_ctl_timeout"), 60),
        pre_promote: both("pre_promote").and_then(text),
        before_stop: both("before_stop").and_then(text),
        use_slots: truth_at(dynamic, "postgresql.use_slots").unwrap_or(true),
    }
}

fn seconds_or(value: Option<i64>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(default))
}

fn default_pgpass() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join("pgpass")
}

fn strings(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

/// `parameters_primary`, `pg_hba_primary` and their like (CFG-42).
fn role_overrides(local: &Value, dynamic: &Value, role: &str, warnings: &mut Vec<String>) -> RoleOverrides {
    let path = format!("postgresql.parameters_{role}");
    let mut parameters = parameters::section(dynamic, &path);
    parameters.extend(parameters::section(local, &path));
    parameters.retain(|name, _| {
        let controlled = is_controlled(name);
        if controlled {
            warnings.push(format!("Role-based config attempted to override protected parameter '{name}', ignoring"));
        }
        !controlled
    });
    let lines = |name: &str| {
        let path = format!("postgresql.{name}_{role}");
        at(local, &path).or_else(|| at(dynamic, &path)).filter(|value| value.is_array()).map(list)
    };
    RoleOverrides { parameters, pg_hba: lines("pg_hba"), pg_ident: lines("pg_ident") }
}

/// Options of a program: a list of names and one-key maps, or a map.
fn options(value: &Value) -> Vec<CommandOption> {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::Bool(true) => Some(CommandOption { name: name.clone(), value: None }),
        Value::Bool(false) | Value::Null => None,
        other => text(other)
            .filter(|text| !text.is_empty())
            .map(|text| CommandOption { name: name.clone(), value: Some(text) }),
    };
    match value {
        Value::Array(items) => items
            .iter()
            .flat_map(|item| match item {
                Value::Object(map) => map.iter().filter_map(pair).collect::<Vec<_>>(),
                other => text(other).map(|name| CommandOption { name, value: None }).into_iter().collect(),
            })
            .collect(),
        Value::Object(map) => map.iter().filter_map(pair).collect(),
        _ => Vec::new(),
    }
}

/// Keys of a method's section that are ours; all others are its command's arguments.
const METHOD_KEYS: [&str; 9] = [
    "command",
    "keep_data",
    "no_params",
    "no_leader",
    "no_master",
    "recovery_conf",
    "keep_existing_recovery_conf",
    "scope",
    "datadir",
];

fn method(name: &str, section: &Value) -> MethodSettings {
    let flag = |key: &str| section.get(key).and_then(truth).unwrap_or(false);
    let map = section.as_object();
    let arguments = map.into_iter().flatten().filter(|(key, _)| !METHOD_KEYS.contains(&key.as_str()));
    let written = |value: &Value| match value {
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        other => text(other),
    };
    MethodSettings {
        name: name.to_owned(),
        command: text_at(section, "command"),
        keep_data: flag("keep_data"),
        no_params: flag("no_params"),
        no_leader: flag("no_leader") || flag("no_master"),
        arguments: arguments.filter_map(|(key, value)| Some((key.clone(), written(value)?))).collect(),
    }
}

fn methods(local: &Value, dynamic: &Value, order: &[String]) -> BTreeMap<String, MethodSettings> {
    let empty = Value::Null;
    let named = order.iter().filter(|name| *name != "basebackup");
    let section = |name: &String| {
        let path = format!("postgresql.{name}");
        method(name, at(local, &path).or_else(|| at(dynamic, &path)).unwrap_or(&empty))
    };
    named.map(|name| (name.clone(), section(name))).collect()
}

/// A new cluster.
pub(super) fn bootstrap(local: &Value, warnings: &mut Vec<String>) -> BootstrapSettings {
    let Some(section) = at(local, "bootstrap") else {
        return BootstrapSettings::default();
    };
    let name = text_at(section, "method").filter(|name| name != "initdb");
    let custom = name.as_ref().and_then(|name| section.get(name));
    let custom = custom.filter(|custom| text_at(custom, "command").is_some());
    let users = users(section);
    if !users.is_empty() {
        warnings.push("bootstrap.users is deprecated: create roles in bootstrap.post_bootstrap".to_owned());
    }
    BootstrapSettings {
        method: name.as_ref().zip(custom).map(|(name, section)| method(name, section)),
        initdb: section.get("initdb").map(options).unwrap_or_default(),
        pg_hba: section.get("pg_hba").map(list).unwrap_or_default(),
        post_bootstrap: text_at(section, "post_bootstrap").or_else(|| text_at(section, "post_init")),
        users,
        recovery_conf: custom.and_then(|custom| custom.get("recovery_conf")).map(|conf| strings(Some(conf))),
        keep_existing_recovery_conf: custom
            .and_then(|custom| custom.get("keep_existing_recovery_conf"))
            .and_then(truth)
            .unwrap_or(false),
    }
}

fn users(section: &Value) -> Vec<BootstrapUser> {
    let map = section.get("users").and_then(Value::as_object);
    let user = |(name, user): (&String, &Value)| BootstrapUser {
        name: name.clone(),
        password: text_at(user, "password").map(Secret),
        options: user.get("options").map(list).unwrap_or_default().iter().map(|option| option.to_uppercase()).collect(),
    };
    map.into_iter().flatten().map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn listen_addresses_are_taken_apart() {
        let check = |text: &str, hosts: &str, port: u16| assert_eq!(listen(text), (hosts.to_owned(), port), "{text}");
        check("127.0.0.1:5433", "127.0.0.1", 5433);
        check("*", "*", 5432);
        check("a,b:5433", "a,b", 5433);
        check("[::1]:5433", "::1", 5433);
        check("::1", "::1", 5432);
        assert_eq!(default_connect_address("*,::1", 5432), "[::1]:5432");
    }

    #[test]
    fn options_are_lists_or_maps() {
        let names =
            |value: Value| options(&value).into_iter().map(|option| (option.name, option.value)).collect::<Vec<_>>();
        let expected = vec![("encoding".to_owned(), Some("UTF8".to_owned())), ("data-checksums".to_owned(), None)];
        assert_eq!(names(json!([{"encoding": "UTF8"}, "data-checksums"])), expected);
        assert_eq!(names(json!({"encoding": "UTF8", "data-checksums": true, "x": false})), expected);
    }

    #[test]
    fn methods_keep_their_own_arguments() {
        let section = json!({"command": "/x.sh", "no_master": "1", "threshold": 5, "flag": true});
        let method = method("m", &section);
        assert!(method.no_leader);
        let expected = [("threshold".to_owned(), "5".to_owned()), ("flag".to_owned(), "True".to_owned())];
        assert_eq!(method.arguments, expected);
    }
}
