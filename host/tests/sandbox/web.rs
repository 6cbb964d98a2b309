//! Backups from an HTTPS server: TLS is done outside of the sandbox, and trusts whom the section says. What is below
//! `/bucket` is given to those alone who sign their requests as S3 wants it.

use crate::guests::Trial;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Serves these files, and hangs up after each; returns where, and the certificate.
fn serve(files: BTreeMap<String, Vec<u8>>) -> (SocketAddr, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let (config, pem) = (Arc::new(config), cert.pem());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, config.clone(), &files);
        }
    });
    (address, pem)
}

fn answer(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    files: &BTreeMap<String, Vec<u8>>,
) -> std::io::Result<()> {
    let session = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
    let (mut request, mut line) = (String::new(), String::new());
    stream.read_line(&mut request)?;
    let mut headers = BTreeMap::new();
    while stream.read_line(&mut line)? > 2 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        headers.insert(name.to_lowercase(), value.trim().to_owned());
        line.clear();
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let stream = stream.get_mut();
    let inside = path.strip_prefix("/bucket");
    if inside.is_some() && headers.get("authorization") != signed(path, &headers).as_ref() {
        write!(stream, "HTTP/1.1 403 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        stream.conn.send_close_notify();
        return stream.flush();
    }
    match files.get(inside.unwrap_or(path)) {
        Some(bytes) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
            stream.write_all(bytes)?;
        }
        None => write!(stream, "HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?,
    }
    stream.conn.send_close_notify();
    stream.flush()
}

const KEY_ID: &str = "the-key";
const SECRET: &str = "the-secret-of-the-key";
const TOKEN: &str = "the-token-of-the-session";

/// What a request with these headers must have for its `authorization`; `None` where it is too old, or no such request.
fn signed(path: &str, headers: &BTreeMap<String, String>) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let keyed = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let names = ["host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
    let values: Vec<_> = names.iter().map(|name| headers.get(*name)).collect::<Option<_>>()?;
    let lines: String = names.iter().zip(&values).map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (body, time) = (values[1], values[2]);
    let oldest = jiff::Timestamp::now().checked_sub(jiff::Span::new().hours(1)).unwrap();
    if values[3] != TOKEN || *time < oldest.strftime("%Y%m%dT%H%M%SZ").to_string() {
        return None;
    }
    let date = time.get(..8)?;
    let names = names.join(";");
    let asked = format!("GET\n{path}\n\n{lines}\n{names}\n{body}");
    let scope = format!("{date}/north/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(asked)));
    let key = [date, "north", "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| keyed(&key, part));
    let signature = hex(&keyed(&key, &text));
    Some(format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope},SignedHeaders={names},Signature={signature}"))
}

fn archive(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::create_dir_all(folder.join("made/base/1")).unwrap();
    fs::write(folder.join("made/PG_VERSION"), "15\n").unwrap();
    fs::write(folder.join("made/base/1/2"), vec![7; 2_000_000]).unwrap();
    let script = "tar -czf base.tar.gz -C made . && sha256sum base.tar.gz >SHA256SUMS";
    assert!(Command::new("sh").args(["-c", script]).current_dir(folder).status().unwrap().success());
    let read = |name: &str| (format!("/b/{name}"), fs::read(folder.join(name)).unwrap());
    ["base.tar.gz", "SHA256SUMS"].map(read).into()
}

#[tokio::test]
async fn a_backup_comes_over_https_from_whom_the_section_trusts() {
    let Some(mut trial) = Trial::of("http_restore").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (address, certificate) = serve(archive(folder.path()));
    let host = format!("localhost:{}", address.port());
    trial.fails_with("", "", "`url` is missing").await;
    trial.parameters.push(("url".into(), format!("https://{host}/b")));
    trial.parameters.push(("attempts".into(), "1".into()));
    trial.fails_with("", "", "SHA256SUMS").await;
    trial.sandbox.hosts = vec![host];
    // Nobody vouches for this server.
    trial.fails_with("", "", "SHA256SUMS").await;
    let file = folder.path().join("ca.pem");
    fs::write(&file, certificate).unwrap();
    trial.sandbox.certificates = Some(file);
    trial.run("", "").await.unwrap();
    assert_eq!(fs::read(trial.data_dir().join("base/1/2")).unwrap(), vec![7; 2_000_000]);
    // What is not there is said, and so is a file of certificates that is none.
    trial.parameters[0].1 = trial.parameters[0].1.replace("/b", "/other");
    trial.fails_with("", "", "404").await;
    trial.sandbox.certificates = Some(folder.path().join("base.tar.gz"));
    trial.fails_with("", "", "`cacert` of the method").await;
}

#[tokio::test]
async fn an_object_store_gets_requests_that_are_signed() {
    let Some(mut trial) = Trial::of("http_restore").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (address, certificate) = serve(archive(folder.path()));
    let host = format!("localhost:{}", address.port());
    let file = folder.path().join("ca.pem");
    fs::write(&file, certificate).unwrap();
    trial.sandbox.certificates = Some(file);
    trial.sandbox.hosts = vec![host.clone()];
    for (name, value) in [("url", "s3://bucket/b"), ("endpoint", &format!("https://{host}")), ("region", "north")] {
        trial.parameters.push((name.into(), value.into()));
    }
    trial.fails_with("", "", "AWS_ACCESS_KEY_ID").await;
    let mut grant = |name: &str, value: &str| {
        trial.sandbox.environment.insert(name.into(), value.into());
        trial.sandbox.environment.clone()
    };
    grant("AWS_ACCESS_KEY_ID", KEY_ID);
    grant("AWS_SESSION_TOKEN", TOKEN);
    let wrong = grant("AWS_SECRET_ACCESS_KEY", "a-wrong-secret");
    let right = grant("AWS_SECRET_ACCESS_KEY", SECRET);
    trial.sandbox.environment = wrong;
    let error = trial.run("", "").await.unwrap_err();
    assert!(error.contains("the server says 403"), "{error}");
    assert!(["wrong-secret", TOKEN, KEY_ID].iter().all(|secret| !error.contains(secret)), "{error}");
    trial.sandbox.environment = right;
    trial.run("", "").await.unwrap();
    assert_eq!(fs::read(trial.data_dir().join("base/1/2")).unwrap(), vec![7; 2_000_000]);
}
