//! An exporter that serves what a test wants: a replacement for one that needs a whole Kubernetes behind it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Serves its text to whoever asks, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Exporter {
    address: String,
    text: Arc<Mutex<String>>,
}

impl Exporter {
    /// Starts on a free port.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(text: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let text = Arc::new(Mutex::new(text));
        let served = Arc::clone(&text);
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let body = served.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
                // The request fits into one packet, and what it asks for does not matter.
                let _ = client.read(&mut [0; 8192]);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = client.write_all((head + &body).as_bytes());
            }
        });
        Self { address, text }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it serves from now on.
    pub fn set(&self, text: String) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}
