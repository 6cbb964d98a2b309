//! The client for calls to members' APIs, by the configuration: whom it believes to be one, and with which certificate
//! it comes. What is called, and what the answers mean, it does not know.

use super::CtlSettings;
use crate::tls::{Names, TlsError, any_server, certificates, private_key, private_key_pem, trusted_server};
use rustls::{ClientConfig, Error};
use std::path::Path;
use std::sync::Arc;

/// Why members' APIs can not be called.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct CallError {
    /// The file that is not usable.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// What is checked of the certificate that an API shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Where it comes from, and for whom it was made.
    All,
    /// Where it comes from.
    Authority,
    /// Nothing.
    Nothing,
}

impl Verify {
    /// What a member checks of another: nothing, unless it has a certificate of its own to show (rest-api §2).
    pub fn among_members(ctl: &CtlSettings) -> Verify {
        if ctl.certfile.is_some() { Verify::Authority } else { Verify::Nothing }
    }

    /// What an operator's command checks.
    pub fn from_outside(ctl: &CtlSettings) -> Verify {
        if ctl.insecure { Verify::Nothing } else { Verify::All }
    }
}

/// The client for members' APIs.
///
/// # Errors
/// When a configured certificate or key is not usable.
pub fn member_client(ctl: &CtlSettings, verify: Verify) -> Result<reqwest::Client, CallError> {
    // The first provider that is installed serves the whole process.
    let _installed = rustls::crypto::ring::default_provider().install_default().is_err();
    let builder = reqwest::Client::builder().no_proxy().user_agent(concat!("Regent/", env!("CARGO_PKG_VERSION")));
    let builder = match (&ctl.cacert, &ctl.certfile, verify) {
        // Whomever the public authorities vouch for.
        (None, None, Verify::All | Verify::Authority) => builder,
        (None, Some(certfile), Verify::All | Verify::Authority) => builder.identity(identity(ctl, certfile)?),
        _ => builder.use_preconfigured_tls(tls(ctl, verify)?),
    };
    builder.build().map_err(|error| wrong(Path::new("the client for members' APIs"), &error))
}

fn identity(ctl: &CtlSettings, certfile: &Path) -> Result<reqwest::Identity, CallError> {
    let mut pem = std::fs::read(certfile).map_err(|error| wrong(certfile, &error))?;
    let keyfile = ctl.keyfile.as_deref().unwrap_or(certfile);
    let key = private_key_pem(keyfile, ctl.keyfile_password.as_ref()).map_err(|error| unopened(keyfile, error))?;
    if !pem.ends_with(key.as_bytes()) {
        pem.extend(key.as_bytes());
    }
    reqwest::Identity::from_pem(&pem).map_err(|error| wrong(certfile, &error))
}

fn tls(ctl: &CtlSettings, verify: Verify) -> Result<ClientConfig, CallError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let servers = match (&ctl.cacert, verify) {
        (_, Verify::Nothing) => any_server(&provider),
        (Some(cacert), verify) => {
            let names = if verify == Verify::All { Names::MustMatch } else { Names::Any };
            trusted_server(&provider, cacert, Vec::new(), names).map_err(|error| unopened(cacert, error))?
        }
        (None, _) => return Err(wrong(Path::new("cacert"), &"is needed to believe a server")),
    };
    let unusable = |error: &Error| wrong(Path::new("TLS"), error);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(servers);
    let Some(certfile) = &ctl.certfile else {
        return Ok(builder.with_no_client_auth());
    };
    let keyfile = ctl.keyfile.as_ref().unwrap_or(certfile);
    let key = private_key(keyfile, ctl.keyfile_password.as_ref()).map_err(|error| unopened(keyfile, error))?;
    let chain = certificates(certfile).map_err(|error| unopened(certfile, error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| wrong(certfile, &error))
}

fn unopened(path: &Path, TlsError(reason): TlsError) -> CallError {
    CallError { file: path.display().to_string(), reason }
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> CallError {
    CallError { file: path.display().to_string(), reason: error.to_string() }
}
