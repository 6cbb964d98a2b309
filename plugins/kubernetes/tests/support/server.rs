//! A real Kubernetes API server with an etcd of its own, on free ports of the loopback interface, ended with the test.
//! There is no kubelet: pods are objects that somebody makes.

use http_body_util::BodyExt;
use kube_client::client::Body;
use kube_client::{Client, Config};
use serde_json::{Value, json};
use std::io::Error;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NOBODY: u32 = 65534;

/// May do everything.
pub const ADMIN: &str = "admin-token";

/// May do what the manifests in the documentation allow.
pub const MEMBER: &str = "member-token";

/// How often it is looked whether the server is there.
const LOOKS: usize = 2400;

/// The server and its store.
pub struct ApiServer {
    children: Vec<Child>,
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

fn spawn(program: &Path, folder: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.spawn().expect("it starts")
}

impl ApiServer {
    /// An empty one that is ready, in which members may do what our manifests say.
    pub fn start() -> Option<ApiServer> {
        let (etcd, kubernetes) = (program("etcd")?, program("kube-apiserver")?);
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path();
        let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        std::fs::write(place.join("sa.key"), key).expect("it can be written");
        let tokens = format!("{ADMIN},admin,1,\"system:masters\"\n{MEMBER},member,2,\"members\"\n");
        std::fs::write(place.join("tokens.csv"), tokens).expect("it can be written");
        if is_root() {
            for file in [".", "sa.key", "tokens.csv"] {
                std::os::unix::fs::chown(place.join(file), Some(NOBODY), Some(NOBODY)).expect("it is ours to give");
            }
        }
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
            "--service-account-key-file=sa.key".to_owned(),
            "--token-auth-file=tokens.csv".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let children = vec![spawn(&etcd, place, &of_etcd), spawn(&kubernetes, place, &of_server)];
        let server = ApiServer { children, port, folder };
        server.wait();
        server.grant();
        Some(server)
    }

    fn wait(&self) {
        let there = |path: &str| self.ask(ADMIN, "GET", path, None).is_ok_and(|(status, _)| status == 200);
        for _ in 0..LOOKS {
            if there("/readyz") && there("/api/v1/namespaces/default") {
                return;
            }
            pause();
        }
        panic!("the API server is not ready in time");
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

    /// Where clients reach it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A kubeconfig of somebody with that token.
    pub fn kubeconfig(&self, token: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{token}.kubeconfig"));
        let authority = self.folder.path().join("certs/apiserver.crt");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", self.address()), "certificate-authority": authority}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(&path, text.to_string()).expect("it can be written");
        path
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
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.ask_here(token, method, path, body));
            asking.join().expect("it does not panic")
        })
    }

    fn ask_here(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, Value)> {
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
            Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
        })
    }
}

/// The rules of the role in the manifest that users are told to apply.
fn rules() -> Value {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let file = above.map(|folder| folder.join("docs/kubernetes/rbac.yaml")).find(|file| file.is_file());
    let text = std::fs::read_to_string(file.expect("the manifest is there")).expect("it can be read");
    let documents = serde_yaml::Deserializer::from_str(&text);
    let mut documents =
        documents.map(|document| <Value as serde::Deserialize>::deserialize(document).expect("it is YAML"));
    let role = documents.find(|document| document["kind"] == "Role").expect("there is a role");
    role["rules"].clone()
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _gone = child.kill().is_err();
            let _reaped = child.wait().is_err();
        }
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

#[allow(clippy::disallowed_methods, reason = "polls with a deadline")]
pub fn pause() {
    // pace: the next look
    std::thread::sleep(Duration::from_millis(50));
}
