//! Certificates of the tests' own authorities, and stores that show them.

use super::server::{Setup, Store};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

/// Certificates in files that a server of another user can read.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn new() -> Certificates {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
        Certificates { folder }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    pub fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        self.file(&format!("{name}.crt"), &params.self_signed(&key).expect("signed").pem());
        Issuer::new(params, key)
    }

    /// One certificate for everything, its own authority, as many have it.
    pub fn self_signed(&self, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        self.file(&format!("{name}.crt"), &params.self_signed(&key).expect("signed").pem());
        self.file(&format!("{name}.key"), &key.serialize_pem());
    }

    pub fn leaf(&self, name: &str, host: &str, issuer: &Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        self.file(&format!("{name}.crt"), &params.signed_by(&key, issuer).expect("signed").pem());
        self.file(&format!("{name}.key"), &key.serialize_pem());
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A store that encrypts, with more arguments.
    pub async fn store(&self, certificate: &str, clients_authority: Option<&str>, more: &[&str]) -> Store {
        let mut arguments = vec!["--cert-file".to_owned(), self.path(&format!("{certificate}.crt"))];
        arguments.extend(["--key-file".to_owned(), self.path(&format!("{certificate}.key"))]);
        if let Some(authority) = clients_authority {
            arguments.extend(["--client-cert-auth".to_owned(), "--trusted-ca-file".to_owned()]);
            arguments.push(self.path(&format!("{authority}.crt")));
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        Store::with(Setup { arguments, tls: true, ..Setup::default() }).await
    }

    pub fn section(&self, store: &Store, authority: Option<&str>, identity: Option<&str>) -> String {
        let mut section = format!("{{\"host\": \"{}\", \"protocol\": \"https\"", store.servers[0].address());
        let mut add = |key: &str, path: String| section.push_str(&format!(", \"{key}\": {path:?}"));
        if let Some(authority) = authority {
            add("cacert", self.path(&format!("{authority}.crt")));
        }
        if let Some(identity) = identity {
            add("cert", self.path(&format!("{identity}.crt")));
            add("key", self.path(&format!("{identity}.key")));
        }
        section + "}"
    }
}
