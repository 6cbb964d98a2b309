//! A real Kubernetes API server with an etcd of its own, on free ports of the loopback interface, ended with the test.
//! There is no kubelet: pods are objects that somebody makes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use kube_client::client::Body;
use kube_client::{Client, Config};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// May do everything.
pub const ADMIN: &str = "admin-token";

/// May do what the manifest in the documentation allows its service account, in any namespace.
pub const MEMBER: &str = "member-token";

/// How often it is looked whether the server is there.
const LOOKS: usize = 2400;

/// The server and its store.
pub struct ApiServer {
    /// The store, then the server.
    children: Vec<Child>,
    arguments: Vec<String>,
    port: u16,
    folder: tempfile::TempDir,
}

fn ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// The machine's own, or what `make setup-kubernetes` built; `None`, and a word why, where there is none.
#[allow(clippy::print_stderr, reason = "a test that could not run says so")]
fn program(name: &str) -> Option<PathBuf> {
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|above| above.join(".cache/kubernetes"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).chain(cached).collect();
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no {name} on this machine: make setup-kubernetes builds a Kubernetes API server");
    }
    found
}

/// Both programs are there.
pub fn is_built() -> bool {
    ["etcd", "kube-apiserver"].into_iter().all(|name| program(name).is_some())
}

/// What it says goes to a file in its folder, and is shown should it not come up.
fn spawn(program: &Path, folder: &Path, arguments: &[String]) -> Child {
    let name = program.file_name().expect("a program has a name").to_string_lossy();
    let log = File::create(folder.join(format!("{name}.log"))).expect("it can be made");
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("it starts")
}

impl ApiServer {
    /// An empty one that is ready, in which members may do what our manifests say.
    pub fn start() -> Option<ApiServer> {
        let (etcd, kubernetes) = (program("etcd")?, program("kube-apiserver")?);
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path();
        // It reads such a key to sign with, but not the public half out of it.
        let key = rcgen::KeyPair::generate().expect("a key");
        std::fs::write(place.join("sa.key"), key.serialize_pem()).expect("it can be written");
        std::fs::write(place.join("sa.pub"), key.public_key_pem()).expect("it can be written");
        let tokens = format!("{ADMIN},admin,1,\"system:masters\"\n{MEMBER},member,2,\"members\"\n");
        std::fs::write(place.join("tokens.csv"), tokens).expect("it can be written");
        let [client, peer, port] = ports();
        let store = format!("http://127.0.0.1:{client}");
        let of_etcd = [
            "--data-dir=etcd".to_owned(),
            format!("--listen-client-urls={store}"),
            format!("--advertise-client-urls={store}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
            "--unsafe-no-fsync".to_owned(),
        ];
        let of_server = [
            format!("--etcd-servers={store}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--secure-port={port}"),
            "--cert-dir=certs".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-account-signing-key-file=sa.key".to_owned(),
            "--service-account-key-file=sa.pub".to_owned(),
            "--token-auth-file=tokens.csv".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let children = vec![spawn(&etcd, place, &of_etcd), spawn(&kubernetes, place, &of_server)];
        let mut server = ApiServer { children, arguments: of_server.to_vec(), port, folder };
        server.wait();
        server.grant();
        Some(server)
    }

    /// Ends it and starts it anew. What it remembered of the past is gone, and what is stored is not.
    pub fn restart(&mut self) {
        if let Some(mut before) = self.children.pop() {
            before.kill().expect("it runs");
            before.wait().expect("it can be waited for");
        }
        let program = program("kube-apiserver").expect("it was there");
        self.children.push(spawn(&program, self.folder.path(), &self.arguments));
        self.wait();
    }

    fn wait(&mut self) {
        let there = |server: &Self, path| server.ask(ADMIN, "GET", path, None).is_ok_and(|(status, _)| status == 200);
        for _ in 0..LOOKS {
            if there(self, "/readyz") && there(self, "/api/v1/namespaces/default") {
                return;
            }
            if self.children.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None))) {
                break;
            }
            pause();
        }
        let log = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        panic!("it is not ready: {}{}", log("etcd.log"), log("kube-apiserver.log"));
    }

    /// The rights of our manifest, for members in any namespace (K8S-05).
    fn grant(&self) {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "regent"},
            "rules": rules(),
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "regent"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "regent"},
            "subjects": [{"kind": "Group", "name": "members", "apiGroup": "rbac.authorization.k8s.io"}],
        });
        for (kind, body) in [("clusterroles", role), ("clusterrolebindings", binding)] {
            let path = format!("/apis/rbac.authorization.k8s.io/v1/{kind}");
            let answer = self.ask(ADMIN, "POST", &path, Some(&body)).expect("it answers");
            assert_eq!(answer.0, 201, "{answer:?}");
        }
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.children.last().expect("it runs").id()
    }

    /// Where clients reach it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A kubeconfig of somebody with that token.
    pub fn kubeconfig(&self, token: &str) -> PathBuf {
        let name: String = token.chars().filter(char::is_ascii_alphanumeric).rev().take(20).collect();
        let path = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&path, self.kubeconfig_text(token)).expect("it can be written");
        path
    }

    /// The same, to be kept wherever it is wanted.
    pub fn kubeconfig_text(&self, token: &str) -> String {
        let authority = std::fs::read(self.folder.path().join("certs/apiserver.crt")).expect("it serves");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", self.address()),
                "certificate-authority-data": STANDARD.encode(authority)}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        text.to_string()
    }

    /// Applies the manifest of the rights as it is, and gives a token of its service account (K8S-05).
    pub fn service_account(&self, namespace: &str) -> String {
        self.make("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).expect("there is a namespace");
        self.apply(namespace, "rbac.yaml");
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/regent/token");
        let wanted = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let (status, answer) = self.ask(ADMIN, "POST", &path, Some(&wanted)).expect("it answers");
        assert_eq!(status, 201, "{answer}");
        answer["status"]["token"].as_str().expect("it is a token").to_owned()
    }

    /// Makes all that a manifest of ours describes.
    pub fn apply(&self, namespace: &str, manifest: &str) {
        for document in documents(manifest) {
            let group = document["apiVersion"].as_str().expect("each says what it is");
            let kind = document["kind"].as_str().expect("each says what it is").to_lowercase();
            let root = if group == "v1" { "/api" } else { "/apis" };
            let path = format!("{root}/{group}/namespaces/{namespace}/{kind}s");
            self.make(&path, &document).expect("it is taken");
        }
    }

    /// A pod that runs nowhere, in a namespace that is made for it if need be.
    pub fn make_pod(&self, namespace: &str, scope: &str, name: &str) -> std::io::Result<()> {
        let body = json!({"metadata": {"name": namespace}});
        self.make("/api/v1/namespaces", &body)?;
        let body = json!({
            "metadata": {"name": name, "labels": {"application": "db", "cluster-name": scope}},
            "spec": {"containers": [{"name": "main", "image": "none"}], "automountServiceAccountToken": false},
        });
        self.make(&format!("/api/v1/namespaces/{namespace}/pods"), &body)
    }

    fn make(&self, path: &str, body: &Value) -> std::io::Result<()> {
        match self.ask(ADMIN, "POST", path, Some(body))? {
            (201 | 409, _) => Ok(()),
            (status, answer) => Err(Error::other(format!("{path}: {status} {answer}"))),
        }
    }

    /// What it answers: the status and the body. On a thread of its own, for tests may have a runtime already.
    pub fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, Value)> {
        let (status, bytes) = self.ask_for_bytes(token, method, path, body)?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// What it counts, in the text form of Prometheus.
    pub fn metrics(&self, token: &str) -> std::io::Result<String> {
        let (_, bytes) = self.ask_for_bytes(token, "GET", "/metrics", None)?;
        String::from_utf8(bytes).map_err(Error::other)
    }

    fn ask_for_bytes(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<(u16, Vec<u8>)> {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.ask_here(token, method, path, body));
            asking.join().expect("it does not panic")
        })
    }

    fn ask_here(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut config = Config::new(format!("https://{}", self.address()).parse().map_err(Error::other)?);
            config.accept_invalid_certs = true;
            config.default_retry = false;
            config.auth_info.token = Some(token.to_owned().into());
            let client = Client::try_from(config).map_err(Error::other)?;
            let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            let body = body.map(Value::to_string).unwrap_or_default();
            let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
            let request = request.body(Body::from(body.into_bytes())).map_err(Error::other)?;
            let answer = tokio::time::timeout(Duration::from_secs(20), client.send(request)).await?;
            let answer = answer.map_err(Error::other)?;
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.map_err(Error::other)?.to_bytes();
            Ok((status, bytes.to_vec()))
        })
    }
}

/// What a manifest that users are told to apply consists of.
fn documents(manifest: &str) -> Vec<Value> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let file = above.map(|folder| folder.join("docs/kubernetes").join(manifest)).find(|file| file.is_file());
    let text = std::fs::read_to_string(file.expect("the manifest is there")).expect("it can be read");
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents.map(|document| <Value as serde::Deserialize>::deserialize(document).expect("it is YAML")).collect()
}

fn rules() -> Value {
    let role = documents("rbac.yaml").into_iter().find(|document| document["kind"] == "Role");
    role.expect("there is a role")["rules"].clone()
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _gone = child.kill().is_err();
            let _reaped = child.wait().is_err();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "polls with a deadline")]
pub fn pause() {
    // pace: the next look
    std::thread::sleep(Duration::from_millis(50));
}
