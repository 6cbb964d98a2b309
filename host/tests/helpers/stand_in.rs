//! An HTTP server that answers as a test says, and remembers what it was asked.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Method, path, body.
type Request = (String, String, String);

/// It ends with the test.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    headers: Arc<Mutex<String>>,
}

impl Server {
    /// `answer` gets method, path and body; a text is answered as it is, anything else as JSON unless it is a status.
    pub fn start(answer: impl Fn(&str, &str, &str) -> (u16, Value) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, headers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(String::new())));
        let server = Server { url, requests: requests.clone(), headers: headers.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &answer, &requests, &headers);
            }
        });
        server
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn headers(&self) -> String {
        self.headers.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &impl Fn(&str, &str, &str) -> (u16, Value),
    requests: &Mutex<Vec<Request>>,
    headers: &Mutex<String>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        headers.lock().unwrap().push_str(&header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    requests.lock().unwrap().push((method.clone(), path.clone(), body.clone()));
    let (status, value) = answer(&method, &path, &body);
    // What is no document of JSON is a bare text; the status of Barman is a text in JSON.
    let text = match value {
        Value::String(text) if text != "OK" => text,
        other => other.to_string(),
    };
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
}
