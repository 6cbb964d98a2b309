//! Base backups from a real server, through TLS that a component does by itself.

use crate::guests::{guest, settings_of};
use crate::scenario::{LIMIT, Node, World};
use crate::unprivileged::as_postgres;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use regent::methods::{create_replica, use_program};
use regent_core::model::{Account, GrantedDirectory, MethodSettings, Source};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The account that proves itself by its certificate.
const CERTIFIED: &str = "certified";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Writes `NAME.crt` and `NAME.key`.
fn certify(authority: &Authority, folder: &Path, name: &str, hosts: &[&str]) {
    let key = KeyPair::generate().unwrap();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let certificate = parameters.signed_by(&key, authority).unwrap();
    fs::write(folder.join(name).with_extension("crt"), certificate.pem()).unwrap();
    let file = folder.join(name).with_extension("key");
    fs::write(&file, key.serialize_pem()).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A server that speaks to nobody without TLS; its certificate is for 127.0.0.1 alone.
async fn server(world: &World, certificates: &Path) -> Node {
    let (trusted, other) = (authority("trusted"), authority("other"));
    fs::create_dir(certificates).unwrap();
    certify(&trusted, certificates, "server", &["127.0.0.1"]);
    certify(&trusted, certificates, CERTIFIED, &[]);
    certify(&other, certificates, "stranger", &[]);
    fs::write(certificates.join("root.crt"), trusted.pem()).unwrap();
    fs::write(certificates.join("other.crt"), other.pem()).unwrap();
    let node = world.node("primary").await;
    let server = node.changed(|settings| {
        let file = |name: &str| certificates.join(name).display().to_string();
        let ssl = [
            ("ssl", "on".to_owned()),
            ("ssl_cert_file", file("server.crt")),
            ("ssl_key_file", file("server.key")),
            ("ssl_ca_file", file("root.crt")),
        ];
        settings.parameters.extend(ssl.map(|(name, value)| (name.to_owned(), value)));
        settings.pg_hba = Some(vec![
            "host all all 127.0.0.1/32 scram-sha-256".into(),
            format!("hostssl replication {CERTIFIED} 127.0.0.1/32 cert"),
            "hostssl replication all 127.0.0.1/32 scram-sha-256".into(),
        ]);
    });
    let node = Node { server };
    node.make_primary().await;
    let role = format!("CREATE ROLE {CERTIFIED} LOGIN REPLICATION");
    node.sql().execute("a role", &role, LIMIT).await.unwrap();
    node
}

/// A method whose account has these settings for TLS.
struct Copy {
    world: World,
    primary: Node,
    certificates: PathBuf,
    component: PathBuf,
    granted: bool,
}

impl Copy {
    async fn run(&self, name: &str, host: &str, user: Option<&str>, tls: &[(&str, &str)]) -> Result<(), String> {
        let replica = self.world.node(name).await;
        let port = self.primary.server.settings.port;
        let server = replica.changed(|settings| {
            let account = &mut settings.accounts.replication;
            if let Some(user) = user {
                *account = Account { username: Some(user.into()), ..Account::default() };
            }
            let value = |name: &str, value: &str| {
                if name == "sslmode" { value.to_owned() } else { self.certificates.join(value).display().to_string() }
            };
            account.options.extend(tls.iter().map(|(name, text)| ((*name).to_owned(), value(name, text))));
            let mut sandbox = settings_of(self.component.clone());
            sandbox.hosts = vec![format!("{host}:{port}")];
            sandbox.with_password = true;
            if self.granted {
                let path = self.certificates.clone();
                let seen_as = path.display().to_string();
                sandbox.directories.push(GrantedDirectory { path, seen_as, writable: false, link: None });
            }
            let method = MethodSettings { name: "m".into(), sandbox: Some(sandbox), ..MethodSettings::default() };
            settings.methods.insert("m".into(), method);
        });
        let source = Source { host: host.into(), ..self.primary.as_source(None) };
        let made = create_replica(&server, Some(&source), &["m".to_owned()], &|_| {}).await;
        if made.is_ok() {
            assert!(replica.server.settings.data_dir.join("backup_label").exists(), "{name}");
        }
        made.map(drop).map_err(|error| error.to_string())
    }

    async fn fails(&self, host: &str, tls: &[(&str, &str)], reason: &str) {
        let error = self.run("refused", host, None, tls).await.expect_err(reason);
        assert!(error.contains(reason), "{host} {tls:?}: {error}");
    }
}

/// What libpq's `sslmode` and its files ask for holds for a backup from inside of the sandbox.
#[test]
fn a_backup_is_streamed_through_tls_as_it_was_asked_for() {
    const NAME: &str = "stream::a_backup_is_streamed_through_tls_as_it_was_asked_for";
    // Whoever may start servers may have no compiler.
    let Some(component) = guest("stream_backup") else { return };
    as_postgres(NAME, async {
        use_program(env!("CARGO_BIN_EXE_regent").into());
        let world = World::new();
        let certificates = world.path("certificates");
        let primary = server(&world, &certificates).await;
        let mut copy = Copy { world, primary, certificates, component, granted: false };
        let (here, by_name) = ("127.0.0.1", "localhost");
        copy.run("prefer", here, None, &[]).await.unwrap();
        let full = [("sslmode", "verify-full"), ("sslrootcert", "root.crt")];
        copy.fails(here, &full, "root.crt cannot be used").await;
        copy.granted = true;
        copy.run("full", here, None, &full).await.unwrap();
        copy.fails(by_name, &full, "not valid for name").await;
        copy.run("ca", by_name, None, &[("sslmode", "verify-ca"), full[1]]).await.unwrap();
        copy.fails(here, &[("sslmode", "verify-ca"), ("sslrootcert", "other.crt")], "UnknownIssuer").await;
        copy.fails(here, &[("sslmode", "require"), ("sslrootcert", "other.crt")], "UnknownIssuer").await;
        copy.fails(here, &full[..1], "needs sslrootcert").await;
        copy.fails(here, &[("sslmode", "disable")], "no encryption").await;
        let certified = |name: &str| [full[0], full[1]].into_iter().chain(pair(name)).collect::<Vec<_>>();
        copy.run("certified", here, Some(CERTIFIED), &certified(CERTIFIED)).await.unwrap();
        let error = copy.run("refused", here, Some(CERTIFIED), &certified("stranger")).await.unwrap_err();
        assert!(error.contains("unknown ca") || error.contains("UnknownCA"), "{error}");
        let error = copy.run("refused", here, Some(CERTIFIED), &full).await.unwrap_err();
        assert!(error.contains("client certificate"), "{error}");
        copy.world.stop().await;
    });
}

fn pair(name: &str) -> [(&'static str, &'static str); 2] {
    if name == CERTIFIED {
        [("sslcert", "certified.crt"), ("sslkey", "certified.key")]
    } else {
        [("sslcert", "stranger.crt"), ("sslkey", "stranger.key")]
    }
}
