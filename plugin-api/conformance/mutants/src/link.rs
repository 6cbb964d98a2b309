//! A connection to the server, made when it is needed and given up when it fails.

use crate::fault::Fault;
use crate::wire::{Request, Response};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// The request never left.
    Unsent(String),
    /// It may have reached the server.
    Unsure(String),
}

/// One request at a time.
pub struct Link {
    address: SocketAddr,
    fault: Fault,
    stream: Mutex<Option<TcpStream>>,
}

impl Link {
    /// Nothing is connected yet.
    pub fn new(address: SocketAddr, fault: Fault) -> Link {
        Link { address, fault, stream: Mutex::new(None) }
    }

    /// Asks and waits for the answer; `left` tells how much time there is.
    pub fn ask(&self, request: &Request, left: &dyn Fn() -> Duration) -> Result<Response, Lost> {
        let left = || match self.fault {
            Fault::IgnoresBudget => Duration::from_secs(3),
            Fault::Impatient => left().min(Duration::from_millis(50)),
            _ => left(),
        };
        let mut guard = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = match guard.take() {
            Some(stream) => stream,
            None => self.connect(left()).map_err(|error| Lost::Unsent(error.to_string()))?,
        };
        let answer = exchange(&mut stream, request, &left);
        if answer.is_ok() || self.fault == Fault::KeepsDeadConnections {
            *guard = Some(stream);
        }
        answer.map_err(|error| Lost::Unsure(error.to_string()))
    }

    /// Gives the connection up.
    pub fn close(&self) {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn connect(&self, left: Duration) -> std::io::Result<TcpStream> {
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let stream = TcpStream::connect_timeout(&self.address, left)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn exchange(stream: &mut TcpStream, request: &Request, left: &dyn Fn() -> Duration) -> std::io::Result<Response> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.set_write_timeout(Some(left().max(Duration::from_millis(1))))?;
    stream.write_all(&line)?;
    let (mut answer, mut part) = (Vec::new(), vec![0; 1 << 16]);
    while answer.last() != Some(&b'\n') {
        let left = left();
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(serde_json::from_slice(&answer)?)
}
