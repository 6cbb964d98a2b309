//! Calls to members: with which login, in whose name, and to whom.

use super::*;
use crate::ctl::testing::{Api, context};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

fn fine(_: &str) -> (u16, &'static str) {
    (200, "fine")
}

/// What the call got, and the head of what was sent, in lower case.
async fn sent(yaml: &str, method: Method) -> String {
    let api = Api::serve(None, fine).await;
    let body = json!({});
    let body = Some(&body).filter(|_| method != Method::GET);
    let said = context(yaml, false).call(method, &api.url, "restart", body).await.unwrap();
    assert_eq!((said.status, said.body.as_str()), (200, "fine"));
    api.asked().concat().to_lowercase()
}

/// CTL-06.
#[tokio::test]
async fn every_call_comes_with_the_login_that_is_configured() {
    // "u:p" and "admin:hush", as a header has them.
    let (u_p, admin) = ("authorization: basic dtpw", "authorization: basic ywrtaw46ahvzaa==");
    let check = async |yaml: &str, expected: &str| {
        for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
            let head = sent(yaml, method.clone()).await;
            assert!(head.starts_with(&format!("{method} /restart http/1.1\r\n").to_lowercase()), "{head}");
            assert_eq!(head.contains("authorization: "), !expected.is_empty(), "{head}");
            assert!(head.contains(expected), "{head}");
        }
    };
    check("", "").await;
    check("ctl: {authentication: {username: u, password: p}}", u_p).await;
    check("restapi: {authentication: {username: admin, password: hush}}", admin).await;
    let both = "restapi: {authentication: {username: admin, password: hush}}\n\
                ctl: {authentication: {username: u, password: p}}";
    check(both, u_p).await;
}

/// OPS-29.
#[tokio::test]
async fn every_call_says_who_asks() {
    let head = sent("", Method::GET).await;
    let agent = format!("user-agent: regent/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(head.contains(&agent), "{head}");
}

/// CTL-22: a certificate that nobody vouches for is believed with `-k`, `ctl.insecure`, or where `ctl.cacert` holds it.
#[tokio::test]
async fn certificates_are_checked_as_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(file("crt"), certificate.pem()).unwrap();
    let other = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(file("other"), other.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let api = Api::serve(Some(TlsAcceptor::from(Arc::new(config))), fine).await;

    let check = async |yaml: &str, insecure: bool, believed: bool| {
        let said = context(yaml, insecure).call(Method::GET, &api.url, "patroni", None).await;
        assert_eq!(said.is_ok(), believed, "{yaml} {insecure}: {:?}", said.err());
    };
    check("", false, false).await;
    check("", true, true).await;
    check("ctl: {insecure: true}", false, true).await;
    check(&format!("ctl: {{cacert: {}}}", file("crt")), false, true).await;
    check(&format!("restapi: {{cafile: {}}}", file("crt")), false, true).await;
    check(&format!("ctl: {{cacert: {}}}", file("other")), false, false).await;
}
