//! What changed between two configurations, and what of it a running daemon can take: decided here only.

use super::effective::Effective;
use super::parameters::is_controlled;
use super::redact::{is_secret, without_login};

/// A part of the configuration that a running daemon takes over when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// ttl, loop_wait, retry_timeout.
    Timing,
    /// Everything else that decisions depend on.
    Rules,
    /// What this member publishes about itself.
    Tags,
    /// Where the REST API listens.
    ApiAddress,
    /// Its certificate, key, authorities and ciphers.
    ApiEncryption,
    /// Who may change something through it, and what it adds to answers.
    ApiAccess,
    /// How other members' APIs are called.
    Calls,
    /// The log.
    Log,
    /// The Linux watchdog.
    Watchdog,
    /// Where the server listens and where others are told to find it.
    ServerAddresses,
    /// Its parameters, and recovery settings; some only count once the server was restarted.
    ServerParameters,
    /// Its access rules.
    ServerAccess,
    /// The accounts, and the file of their passwords.
    Accounts,
    /// Commands, methods and time limits.
    Commands,
    /// How a new cluster is made.
    Bootstrap,
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What counts from now on.
    pub at_runtime: Vec<Area>,
    /// Keys that only count after the daemon was started again.
    pub after_restart: Vec<&'static str>,
}

impl Changes {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.at_runtime.is_empty() && self.after_restart.is_empty()
    }

    /// The area changed.
    pub fn touch(&self, area: Area) -> bool {
        self.at_runtime.contains(&area)
    }
}

/// Compares two configurations.
pub fn changes(old: &Effective, new: &Effective) -> Changes {
    let mut at_runtime: Vec<Area> = [settings(old, new), api(old, new), server(old, new)].concat();
    at_runtime.sort_unstable();
    Changes { at_runtime, after_restart: after_restart(old, new) }
}

/// A sentence for each PostgreSQL parameter that has another value now (LOG-05).
pub fn changed_parameters(old: &Effective, new: &Effective) -> Vec<String> {
    let (old, new) = (&old.server.parameters, &new.server.parameters);
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let shown = |name: &str, value: Option<&String>| match value {
        None => "its default".to_owned(),
        Some(_) if is_secret(name) => "'***'".to_owned(),
        Some(value) => format!("'{}'", without_login(value)),
    };
    let sentence = |name: &String| {
        let (from, to) = (shown(name, old.get(name)), shown(name, new.get(name)));
        // What all members must agree on stands on the server's command line.
        let hint = if is_controlled(name) { " (restart might be required)" } else { "" };
        format!("Changed {name} from {from} to {to}{hint}")
    };
    differing.map(sentence).collect()
}

fn named<T: Copy>(rows: &[(T, bool)]) -> Vec<T> {
    rows.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
}

fn settings(old: &Effective, new: &Effective) -> Vec<Area> {
    let (one, other) = (&old.settings, &new.settings);
    let timing = (one.ttl, one.loop_wait, one.retry_timeout) != (other.ttl, other.loop_wait, other.retry_timeout);
    // The rest of the settings, without what is named on its own.
    let mut rest = one.clone();
    rest.tags.clone_from(&other.tags);
    rest.name.clone_from(&other.name);
    rest.scope.clone_from(&other.scope);
    (rest.ttl, rest.loop_wait, rest.retry_timeout) = (other.ttl, other.loop_wait, other.retry_timeout);
    (rest.guard, rest.watchdog) = (other.guard, other.watchdog);
    named(&[
        (Area::Timing, timing),
        (Area::Rules, rest != *other),
        (Area::Tags, one.tags != other.tags),
        (Area::Watchdog, old.watchdog != new.watchdog),
        (Area::Log, old.log != new.log),
        (Area::Bootstrap, old.bootstrap != new.bootstrap),
    ])
}

fn api(old: &Effective, new: &Effective) -> Vec<Area> {
    let (one, other) = (&old.restapi, &new.restapi);
    let mut access = one.clone();
    access.listen.clone_from(&other.listen);
    access.certfile.clone_from(&other.certfile);
    access.keyfile.clone_from(&other.keyfile);
    access.keyfile_password.clone_from(&other.keyfile_password);
    access.cafile.clone_from(&other.cafile);
    access.ciphers.clone_from(&other.ciphers);
    access.verify_client.clone_from(&other.verify_client);
    let encryption = (&one.certfile, &one.keyfile, &one.keyfile_password)
        != (&other.certfile, &other.keyfile, &other.keyfile_password)
        || (&one.cafile, &one.ciphers, &one.verify_client) != (&other.cafile, &other.ciphers, &other.verify_client);
    named(&[
        (Area::ApiAddress, one.listen != other.listen),
        (Area::ApiEncryption, encryption),
        (Area::ApiAccess, access != *other),
        (Area::Calls, old.ctl != new.ctl),
    ])
}

fn server(old: &Effective, new: &Effective) -> Vec<Area> {
    let (one, other) = (&old.server, &new.server);
    let addresses = (&one.listen_addresses, one.port, &one.connect_address, &one.proxy_address)
        != (&other.listen_addresses, other.port, &other.connect_address, &other.proxy_address)
        || (one.use_unix_socket, one.use_unix_socket_repl, &one.database)
            != (other.use_unix_socket, other.use_unix_socket_repl, &other.database);
    let roles = |server: &regent_core::model::ServerSettings| {
        [server.primary.clone(), server.replica.clone(), server.standby_leader.clone()]
    };
    let (roles_one, roles_other) = (roles(one), roles(other));
    let mut by_role = roles_one.iter().zip(&roles_other);
    let parameters = by_role.clone().any(|(one, other)| one.parameters != other.parameters);
    let access = by_role.any(|(one, other)| (&one.pg_hba, &one.pg_ident) != (&other.pg_hba, &other.pg_ident));
    let commands = (&one.callbacks, &one.create_replica_methods, &one.methods)
        != (&other.callbacks, &other.create_replica_methods, &other.methods)
        || (&one.basebackup, &one.rewind_options, one.start_timeout)
            != (&other.basebackup, &other.rewind_options, other.start_timeout)
        || (&one.pre_promote, &one.before_stop) != (&other.pre_promote, &other.before_stop);
    let settings = (&one.parameters, &one.recovery_conf, &one.custom_conf)
        != (&other.parameters, &other.recovery_conf, &other.custom_conf);
    let accounts = (&one.accounts, &one.pgpass, &one.krbsrvname) != (&other.accounts, &other.pgpass, &other.krbsrvname);
    let lists = (&one.pg_hba, &one.pg_ident) != (&other.pg_hba, &other.pg_ident);
    named(&[
        (Area::ServerAddresses, addresses),
        (Area::ServerParameters, settings || parameters),
        (Area::ServerAccess, lists || access),
        (Area::Accounts, accounts),
        (Area::Commands, commands),
    ])
}

fn after_restart(old: &Effective, new: &Effective) -> Vec<&'static str> {
    let plugin = |effective: &Effective| {
        let dcs = &effective.dcs;
        (dcs.folder.clone(), dcs.path.clone(), dcs.sha256.clone())
    };
    named(&[
        ("name", old.settings.name != new.settings.name),
        ("scope", old.settings.scope != new.settings.scope),
        ("namespace", old.dcs.namespace != new.dcs.namespace),
        ("store", old.dcs.name != new.dcs.name),
        ("plugins", plugin(old) != plugin(new)),
        ("postgresql.data_dir", old.server.data_dir != new.server.data_dir),
        ("postgresql.config_dir", old.server.config_dir != new.server.config_dir),
        ("postgresql.config_base_name", old.server.config_base_name != new.server.config_base_name),
        ("postgresql.bin_dir", old.server.bin_dir != new.server.bin_dir),
        ("postgresql.bin_name", old.server.bin_name != new.server.bin_name),
        ("guard.mode", old.settings.guard != new.settings.guard),
        ("citus", old.citus != new.citus),
    ])
}

#[cfg(test)]
mod tests;
