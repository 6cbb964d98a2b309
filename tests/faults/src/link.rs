//! A connection of a node to the world that can be cut: a proxy which, while it is cut, passes nothing on and loses
//! nothing. What was sent meanwhile arrives when the cut ends, as a network delivers what it held back.

use std::net::TcpListener as Listener;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// How much a direction holds besides what the kernel does.
const BUFFER: usize = 1 << 16;

/// What passes.
#[derive(Clone, Copy, Debug)]
struct Gate {
    open: bool,
    /// How many bytes a second each direction of each connection passes at most.
    rate: Option<u32>,
}

/// The proxy. It listens until it is dropped.
#[derive(Debug)]
pub struct Link {
    /// Where it is reached.
    pub port: u16,
    gate: watch::Sender<Gate>,
    task: AbortHandle,
}

impl Link {
    /// A link to a port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub fn to(server: u16) -> Result<Self> {
        let listener = Listener::bind("127.0.0.1:0").context("no port for a link")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let listener = TcpListener::from_std(listener)?;
        let (gate, state) = watch::channel(Gate { open: true, rate: None });
        let task = tokio::spawn(serve(listener, server, state));
        Ok(Self { port, gate, task: task.abort_handle() })
    }

    /// Nothing passes from now on; connections stay, and new ones hang.
    pub fn cut(&self) {
        self.gate.send_modify(|gate| gate.open = false);
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.gate.send_modify(|gate| gate.open = true);
    }

    /// From now on each direction of each connection passes that many bytes a second, or as many as it can.
    pub fn throttle(&self, rate: Option<u32>) {
        self.gate.send_modify(|gate| gate.rate = rate);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, server: u16, gate: watch::Receiver<Gate>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, server, gate.clone()));
    }
}

async fn connect(client: TcpStream, server: u16, mut gate: watch::Receiver<Gate>) {
    if gate.wait_for(|gate| gate.open).await.is_err() {
        return;
    }
    // Who refuses us, refuses the client: dropping it says so.
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    // Without it the figures are slower, nothing else.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(pass(from_client, to_server, gate.clone()), pass(from_server, to_client, gate));
}

/// Passes one direction on until its end, which is passed on too.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<Gate>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let Ok(rate) = gate.wait_for(|gate| gate.open).await.map(|gate| gate.rate) else { return };
        let written = to.write_all(buffer.get(..count).unwrap_or_default()).await;
        if count == 0 || written.is_err() {
            // The other side may have gone first.
            let _ = to.shutdown().await;
            return;
        }
        if let Some(rate) = rate.filter(|rate| *rate > 0) {
            // pace: a slow line
            sleep(Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX) / rate).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_was_sent_into_a_cut_arrives_after_it() -> Result<()> {
        let server = TcpListener::bind("127.0.0.1:0").await?;
        let link = Link::to(server.local_addr()?.port())?;
        let mut client = TcpStream::connect(("127.0.0.1", link.port)).await?;
        let (mut accepted, _) = timeout(Duration::from_secs(20), server.accept()).await??;
        let mut bytes = [0; 3];
        client.write_all(b"one").await?;
        accepted.read_exact(&mut bytes).await?;
        link.cut();
        client.write_all(b"two").await?;
        let mut second = TcpStream::connect(("127.0.0.1", link.port)).await?;
        second.write_all(b"new").await?;
        let nothing = timeout(Duration::from_millis(50), accepted.read_exact(&mut bytes)).await;
        assert!(nothing.is_err(), "it passed a cut");
        link.mend();
        timeout(Duration::from_secs(20), accepted.read_exact(&mut bytes)).await??;
        assert_eq!(&bytes, b"two");
        let (mut accepted, _) = timeout(Duration::from_secs(20), server.accept()).await??;
        timeout(Duration::from_secs(20), accepted.read_exact(&mut bytes)).await??;
        assert_eq!(&bytes, b"new");
        Ok(())
    }
}
