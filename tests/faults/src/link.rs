//! A connection of a node to the world that can be cut: a proxy which, while it is cut, passes nothing on and loses
//! nothing. What was sent meanwhile arrives when the cut ends, as a network delivers what it held back.

use std::net::TcpListener as Listener;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How much a direction holds besides what the kernel does.
const BUFFER: usize = 1 << 16;

/// The proxy. It listens until it is dropped.
#[derive(Debug)]
pub struct Link {
    /// Where it is reached.
    pub port: u16,
    open: watch::Sender<bool>,
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
        let (open, state) = watch::channel(true);
        let task = tokio::spawn(serve(listener, server, state));
        Ok(Self { port, open, task: task.abort_handle() })
    }

    /// Nothing passes from now on; connections stay, and new ones hang.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, server: u16, open: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, server, open.clone()));
    }
}

async fn connect(client: TcpStream, server: u16, mut open: watch::Receiver<bool>) {
    if open.wait_for(|open| *open).await.is_err() {
        return;
    }
    // Who refuses us, refuses the client: dropping it says so.
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    // Without it the figures are slower, nothing else.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(pass(from_client, to_server, open.clone()), pass(from_server, to_client, open));
}

/// Passes one direction on until its end, which is passed on too.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let written = to.write_all(buffer.get(..count).unwrap_or_default()).await;
        if count == 0 || written.is_err() {
            // The other side may have gone first.
            let _ = to.shutdown().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
