//! `scaffold`: the keys of a cluster that no daemon has started, and `configure`: the file by which later commands find
//! the store. Both are from the peer's early days.

use super::context::{Context, done};
use super::output::{ask, line};
use super::{CtlError, Result, document, store_url};
use crate::config::{DynamicConfig, Effective, LocalConfig};
use crate::dcs::Answer;
use crate::ports;
use regent_core::model::Role;
use serde_json::{Value, json};
use std::path::PathBuf;

/// `scaffold`: says which cluster it is, and that the configured member leads it, until somebody removes it.
pub(super) async fn scaffold(context: &Context, local: &LocalConfig, system_id: &str) -> Result<()> {
    let (store, snapshot) = context.read().await?;
    let scope = &context.scope;
    if snapshot.view.initialize.is_some() {
        return Err(CtlError::new("This cluster is already initialized"));
    }
    match store.initialize_as(system_id, context.patience()).await {
        Answer::Refused(_) => return Err(CtlError::new(format!("Initialize key for cluster {scope} already exists"))),
        other => done(other)?,
    }
    if let Err(error) = done(store.install_leader(&member(local), context.patience()).await) {
        tracing::warn!("{error}");
        done(store.delete_cluster(context.patience()).await)?;
        return Err(CtlError::new(format!("Unable to install permanent leader for cluster {scope}")));
    }
    line(&format!("Cluster {scope} has been created successfully"));
    Ok(())
}

/// The member as it would describe itself, were it running.
fn member(local: &LocalConfig) -> Value {
    let effective = Effective::build(local, &DynamicConfig::default(), 0);
    let (server, restapi) = (&effective.server, &effective.restapi);
    let scheme = if restapi.certfile.is_some() { "https" } else { "http" };
    json!({
        "conn_url": format!("postgres://{}/{}", server.connect_address, server.database),
        "api_url": format!("{scheme}://{}/patroni", restapi.connect_address),
        "state": "running",
        "role": Role::Primary.as_str(),
    })
}

/// What `configure` writes, where it was given.
pub(super) struct Wish {
    pub file: Option<String>,
    pub url: Option<String>,
    pub namespace: Option<String>,
}

/// `configure`: asks for what is not given, and writes the file.
pub(super) fn configure(wish: Wish) -> Result<()> {
    let usual = ports::home_directory().join(".config/patroni/patronictl.yaml").to_string_lossy().into_owned();
    let asked =
        |given: Option<String>, question: &str, usual: &str| given.map_or_else(|| ask(question, Some(usual)), Ok);
    let file = PathBuf::from(asked(wish.file, "Configuration file", &usual)?);
    let url = asked(wish.url, "DCS connect url", "etcd://localhost:2379")?;
    let namespace = asked(wish.namespace, "Namespace", "/service/")?;
    // What is no address is better refused now than by the next command.
    store_url::put(&mut json!({}), &url)?;
    let text = document::block(&json!({"dcs_api": url, "namespace": namespace}));
    let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = folder.and_then(|()| std::fs::write(&file, text.trim_end().to_owned() + "\n"));
    written.map_err(|error| CtlError::new(format!("{} can not be written: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::ctl::output::console;
    use std::collections::BTreeMap;

    #[test]
    fn a_scaffolded_member_is_described_by_its_configuration() {
        // CTL-09
        let text = "name: a\nrestapi: {listen: '*:8008', connect_address: 'h:8008'}\n\
                    postgresql: {listen: '*:5433', connect_address: 'h:5433', data_dir: /d}";
        let source = Source::new(None, BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text.to_owned())]));
        let expected = json!({
            "conn_url": "postgres://h:5433/postgres", "api_url": "http://h:8008/patroni", "state": "running", "role": "primary",
        });
        assert_eq!(member(&LocalConfig::load(&source).unwrap()), expected);
    }

    #[test]
    fn the_file_of_the_store_is_asked_for_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/patronictl.yaml");
        let wish = || Wish { file: Some(file.display().to_string()), url: None, namespace: None };
        let told = console::play(&["", "/db"], || configure(wish()).unwrap());
        assert_eq!(told, "DCS connect url [etcd://localhost:2379]: Namespace [/service/]: ");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "dcs_api: etcd://localhost:2379\nnamespace: /db\n");
        console::play(&["what://x", ""], || {
            assert_eq!(configure(wish()).unwrap_err().0, "Unknown dcs scheme: what");
        });
    }
}
