//! Who we are to the agent, and who it is to us: certificates and tokens (CONS-03, CONS-04).

mod support;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use regent_plugin_api::host::{Backend, DcsError, ErrorKind, Lease};
use std::os::unix::fs::PermissionsExt;
use support::server::Agent;
use support::{BUDGET, member};
use tempfile::TempDir;

async fn acquire(member: &Backend) -> Result<Option<Lease>, DcsError> {
    member.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await
}

/// One certificate for everything, its own authority.
fn certificate(folder: &TempDir, name: &str) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("signed").pem();
    for (file, text) in [(format!("{name}.crt"), certificate), (format!("{name}.key"), key.serialize_pem())] {
        let path = folder.path().join(file);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    }
}

fn path(folder: &TempDir, file: &str) -> String {
    folder.path().join(file).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_looked_at_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
    certificate(&folder, "all");
    certificate(&folder, "other");
    let (crt, key) = (path(&folder, "all.crt"), path(&folder, "all.key"));
    let configuration = format!(
        "ports {{ https = @ }}\ncert_file = {crt:?}\nkey_file = {key:?}\nca_file = {crt:?}\nverify_incoming_https = true"
    );
    let Some(agent) = Agent::with(&configuration) else { return };
    let section = |more: &str| format!("{{\"url\": \"https://{}\"{more}}}", agent.secure_address());
    let reads = async |more: String| {
        let budget = std::time::Duration::from_secs(4);
        member("a", &section(&more)).await.load(budget).await.map(drop).map_err(|error| error.kind)
    };
    let identity = format!(", \"cert\": {crt:?}, \"key\": {key:?}");
    let a = member("a", &section(&format!(", \"cacert\": {crt:?}{identity}"))).await;
    assert!(acquire(&a).await.expect("a verdict").is_some());
    let anybody = member("a", &section(&format!(", \"verify\": false{identity}"))).await;
    assert!(acquire(&anybody).await.expect("a verdict").is_some());
    let other = path(&folder, "other.crt");
    for refused in [format!(", \"cacert\": {other:?}{identity}"), format!(", \"cacert\": {crt:?}")] {
        assert_eq!(reads(refused.clone()).await, Err(ErrorKind::Unavailable), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_door() {
    let configuration = "primary_datacenter = \"dc1\"\nacl { enabled = true, default_policy = \"deny\", \
                         tokens { master = \"11111111-2222-3333-4444-555555555555\" } }";
    let Some(agent) = Agent::with(configuration) else { return };
    let section = |token: &str| format!("{{\"host\": \"{}\", \"token\": \"{token}\"}}", agent.address());
    let right = member("a", &section("11111111-2222-3333-4444-555555555555")).await;
    // The token works once the leader has written it down.
    let mut lease = None;
    for _ in 0..400 {
        match acquire(&right).await {
            Ok(found) => {
                lease = found;
                break;
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::Auth, "{error}"),
        }
        tokio::task::spawn_blocking(support::server::pause).await.expect("it waits");
    }
    assert!(lease.is_some());
    let error = acquire(&member("b", &section("99999999-2222-3333-4444-555555555555")).await).await;
    let error = error.expect_err("nobody knows that token");
    assert_eq!(error.kind, ErrorKind::Auth);
    assert!(!error.message.contains("99999999"), "{error}");
}
