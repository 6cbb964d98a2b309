//! Encrypted connections: certificates are looked at on both sides.

mod support;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use regent_plugin_api::host::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use support::server::Server;
use support::{acquire, open, options};
use tempfile::TempDir;

/// One certificate for everything, its own authority; alone, and in one file with its key.
fn certificate(folder: &TempDir, name: &str) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("signed").pem();
    let both = format!("{}{certificate}", key.serialize_pem());
    for (file, text) in [(format!("{name}.crt"), certificate), (format!("{name}.pem"), both)] {
        let path = folder.path().join(file);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    }
}

/// ZK-01.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_looked_at_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
    certificate(&folder, "all");
    certificate(&folder, "other");
    let path = |file: &str| folder.path().join(file).display().to_string();
    let (crt, pem) = (path("all.crt"), path("all.pem"));
    let configuration = format!(
        "secureClientPort=@\nserverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         ssl.keyStore.location={pem}\nssl.keyStore.type=PEM\nssl.trustStore.location={crt}\nssl.trustStore.type=PEM\n\
         ssl.clientAuth=need\nssl.hostnameVerification=false\n"
    );
    let Some(server) = Server::with(&configuration) else { return };
    let section = |more: &str| format!("{{\"hosts\": [\"{}\"], \"use_ssl\": true{more}}}", server.secure_address());
    let identity = format!(", \"cert\": {pem:?}");
    let a = open(options("a", &section(&format!(", \"cacert\": {crt:?}{identity}")))).await;
    assert!(acquire(&a, "a").await.is_some());
    let anybody = open(options("b", &section(&format!(", \"verify\": false{identity}")))).await;
    assert!(acquire(&anybody, "b").await.is_none());
    let other = path("other.crt");
    for refused in [format!(", \"cacert\": {other:?}{identity}"), format!(", \"cacert\": {crt:?}")] {
        let c = open(options("c", &section(&refused))).await;
        let error = c.load(Duration::from_secs(4)).await.expect_err("one of both does not believe it");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{refused}");
    }
}
