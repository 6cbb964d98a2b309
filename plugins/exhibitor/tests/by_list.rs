//! The built library finds a real ZooKeeper by the list of a stand-in for Exhibitor, of which there is no package: one
//! page over HTTP whose list the test changes.

#[path = "../../zookeeper/tests/support/server.rs"]
#[allow(dead_code, reason = "its other half is for the other backend's tests")]
mod server;

use regent_plugin_api::host::{Backend, ErrorKind, Lease, OpenOptions, Plugin};
use server::Server;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const BUDGET: Duration = Duration::from_secs(20);

/// One page.
struct Page {
    port: u16,
    text: Arc<Mutex<String>>,
    asked: Arc<AtomicU64>,
}

impl Page {
    fn start(text: String) -> Page {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (text, asked) = (Arc::new(Mutex::new(text)), Arc::<AtomicU64>::default());
        let (shown, count) = (Arc::clone(&text), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let text = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if answer(stream, &text).is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Page { port, text, asked }
    }

    fn show(&self, text: String) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&part[..count]),
        }
    }
    assert!(head.starts_with(b"GET /exhibitor/v1/cluster/list "), "{}", String::from_utf8_lossy(&head));
    // In parts, as its server sends it.
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{length:x}\r\n{text}\r\n0\r\n\r\n"
    )
}

async fn open(section: &str) -> Backend {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let candidates = [folder.join("libregent_dcs_exhibitor.so"), folder.join("../libregent_dcs_exhibitor.so")];
    let library = candidates.into_iter().find(|path| path.exists()).expect("cargo built the library");
    let options = OpenOptions {
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        member: "a".to_owned(),
        ttl: Duration::from_secs(60),
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(3),
        config_json: section.to_owned(),
    };
    let plugin = Plugin::load(&library, None).expect("our own plugin loads");
    Backend::open(&plugin, options).await.expect("the store opens")
}

/// Asks until the answer is yes.
async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if ask().await {
            return;
        }
        tokio::task::spawn_blocking(server::pause).await.expect("it waits");
    }
    panic!("not in time: {what}");
}

/// The clients' ends of the connections that have sessions.
fn connections(server: &Server) -> Vec<String> {
    let text = server.command("cons").expect("it answers");
    let lines = text.lines().filter(|line| line.contains("sid=0x"));
    lines.filter_map(|line| Some(line.trim().split_once('[')?.0.to_owned())).collect()
}

/// ZK-02: who does not answer is passed over; the list is asked for again and again, and the session follows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_followed() {
    let Some(server) = Server::start() else { return };
    let port: u16 = server.address().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let list = |host: &str| format!("{{\"servers\":[\"{host}\"],\"port\":{port}}}");
    let page = Page::start(list("127.0.0.1"));
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = silent.local_addr().expect("it is bound").port();
    drop(silent);
    let hosts = format!("[\"127.0.0.1:{dead}\", \"127.0.0.1:{}\"]", page.port);
    let a = open(&format!("{{\"hosts\": {hosts}, \"poll_interval\": 1}}")).await;
    let touch = async |value: &str| a.touch_member(BUDGET, value.as_bytes().to_vec()).await.expect("it is written");
    touch("1").await;
    let lease: Lease = a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
    let before = connections(&server);
    assert_eq!(before.len(), 1, "{before:?}");

    // The same server by another name is another server.
    page.show(list("localhost"));
    until("the connection follows the list", async || {
        touch("2").await;
        connections(&server).iter().any(|connection| !before.contains(connection))
    })
    .await;
    let kept = a.renew_leader(BUDGET, lease.clone(), vec![]).await.expect("a verdict").expect("it is ours");
    assert_eq!(kept.session, lease.session);

    // What is known stays while nobody tells anything.
    page.show("out of order".to_owned());
    let asked = page.asked();
    until("it is asked again", async || {
        touch("3").await;
        page.asked() > asked
    })
    .await;
    assert!(a.renew_leader(BUDGET, kept, vec![]).await.expect("a verdict").is_some());

    let b = open(&format!("{{\"hosts\": [\"127.0.0.1:{dead}\"]}}")).await;
    let error = b.load(Duration::from_secs(1)).await.expect_err("nobody tells of servers");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
