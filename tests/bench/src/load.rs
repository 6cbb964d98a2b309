//! Health checks as load balancers send them: several at a time, each on a new connection or on one that is kept if the
//! server lets it be kept.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Clients that ask at the same time.
const CLIENTS: usize = 8;
const ANSWER: Duration = Duration::from_secs(5);

/// Whether a client keeps its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    New,
    Kept,
}

/// What came of it.
pub struct Load {
    pub took: Duration,
    /// How long each answer took, sorted, in microseconds.
    times: Vec<f64>,
}

impl Load {
    /// How many answers there were.
    pub fn count(&self) -> f64 {
        self.times.len() as f64
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }

    /// The time within which that share of the answers came, in microseconds.
    pub fn within(&self, percent: usize) -> f64 {
        let place = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(place).copied().unwrap_or_default()
    }
}

/// Asks for a while, without pause.
///
/// # Errors
/// When an answer is not 200.
pub async fn run(port: u16, path: &str, connection: Connection, period: Duration) -> Result<Load> {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(port, path.to_owned(), connection, begun + period));
    }
    let mut times = Vec::new();
    while let Some(one) = clients.join_next().await {
        times.extend(one??);
    }
    times.sort_by(f64::total_cmp);
    Ok(Load { took: begun.elapsed(), times })
}

async fn client(port: u16, path: String, connection: Connection, end: Instant) -> Result<Vec<f64>> {
    let wish = if connection == Connection::Kept { "keep-alive" } else { "close" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {wish}\r\n\r\n");
    let (mut times, mut open) = (Vec::new(), None);
    while Instant::now() < end {
        let begun = Instant::now();
        open = timeout(ANSWER, ask(port, open, request.as_bytes())).await??;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        if connection == Connection::New {
            open = None;
        }
    }
    Ok(times)
}

/// One request; gives the connection if it may be used again.
async fn ask(port: u16, open: Option<TcpStream>, request: &[u8]) -> Result<Option<TcpStream>> {
    let mut stream = match open {
        Some(stream) => stream,
        None => TcpStream::connect(("127.0.0.1", port)).await?,
    };
    stream.set_nodelay(true)?;
    stream.write_all(request).await?;
    let mut received = Vec::with_capacity(4096);
    loop {
        let more = stream.read_buf(&mut received).await?;
        match read(&received)? {
            Answer::Whole { kept } => return Ok(kept.then_some(stream)),
            Answer::UntilEnd if more == 0 => return Ok(None),
            Answer::UntilEnd | Answer::Part => ensure!(more > 0, "the connection ended within an answer"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Part,
    Whole {
        kept: bool,
    },
    /// It has no length: it ends with the connection.
    UntilEnd,
}

fn read(received: &[u8]) -> Result<Answer> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(Answer::Part) };
    let head = String::from_utf8_lossy(received.get(..end).unwrap_or_default()).to_lowercase();
    ensure!(head.split(' ').nth(1) == Some("200"), "not healthy: {head}");
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let Some(length) = header("content-length:") else { return Ok(Answer::UntilEnd) };
    if received.len() < end + 4 + length.parse::<usize>()? {
        return Ok(Answer::Part);
    }
    let kept = match header("connection:") {
        Some(connection) => connection.contains("keep-alive"),
        None => head.starts_with("http/1.1"),
    };
    Ok(Answer::Whole { kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        fn check(received: &str, expected: Answer) {
            assert_eq!(read(received.as_bytes()).expect("a healthy answer"), expected, "{received:?}");
        }
        check("HTTP/1.1 200 OK\r\n", Answer::Part);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", Answer::Part);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Answer::Whole { kept: true });
        check("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", Answer::Whole { kept: false });
        check("HTTP/1.0 200 OK\r\n\r\n{}", Answer::UntilEnd);
        assert!(read(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_err());
    }

    #[test]
    fn most_answers_came_within() {
        let load = Load { took: Duration::from_secs(1), times: (1..=200).map(f64::from).collect() };
        assert!((load.within(50) - 101.0).abs() < 1e-9 && (load.within(99) - 199.0).abs() < 1e-9);
        assert!((load.rate() - 200.0).abs() < 1e-9);
    }
}
