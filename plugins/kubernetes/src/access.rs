//! Finds the API server and says who we are: as a pod by its service account, elsewhere by a kubeconfig.

use crate::config::Access;
use kube_client::Client;
use kube_client::config::{Config, KubeConfigOptions, Kubeconfig};
use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use std::time::Duration;

fn invalid(why: String) -> DcsError {
    DcsError::new(ErrorKind::Invalid, format!("kubernetes: {why}"))
}

/// How the server is reached.
///
/// # Errors
/// `Invalid` where there is neither a service account nor a kubeconfig that can be used.
pub(crate) fn find(access: &Access, patience: Duration) -> Result<Config> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| DcsError::new(ErrorKind::Internal, format!("no runtime: {error}")))?;
    let mut config = runtime.block_on(read(access))?;
    if let Some(server) = &access.server {
        config.cluster_url = server.parse().map_err(|_| invalid("api_server is no address".to_owned()))?;
    }
    if let Some(path) = &access.cacert {
        config.root_cert = None;
        config.root_cert_file = Some(path.clone());
    }
    config.connect_timeout = Some(patience);
    // Budgets are the calls' own.
    config.read_timeout = None;
    config.write_timeout = None;
    config.default_retry = false;
    Ok(config)
}

async fn read(access: &Access) -> Result<Config> {
    if access.kubeconfig.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    let kubeconfig = match &access.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = kubeconfig.map_err(|error| invalid(format!("no service account, and no kubeconfig: {error}")))?;
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| invalid(format!("the kubeconfig: {error}")))
}

/// A client of the server.
///
/// # Errors
/// `Invalid` where certificates or tokens can not be used.
pub(crate) fn client(config: &Config) -> Result<Client> {
    Client::try_from(config.clone()).map_err(|error| invalid(error.to_string()))
}

/// The same for one of the servers behind the service, by its address; its certificate is the service's.
pub(crate) fn direct(config: &Config, address: &str) -> Result<Client> {
    let mut config = config.clone();
    let name = config.tls_server_name.clone().or_else(|| config.cluster_url.host().map(str::to_owned));
    config.tls_server_name = name;
    config.cluster_url = address.parse().map_err(|_| invalid(format!("{address} is no address")))?;
    client(&config)
}
