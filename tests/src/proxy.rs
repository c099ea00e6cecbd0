//! A TCP proxy that fails as networks do: it stops forwarding, accepts without an answer, resets connections, or is slow.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// One connection through the proxy.
struct Pair {
    client: TcpStream,
    server: Option<TcpStream>,
    frozen: Arc<AtomicBool>,
}

#[derive(Default)]
struct Shared {
    unanswering: AtomicBool,
    unanswered: Mutex<usize>,
    pairs: Mutex<Vec<Pair>>,
}

/// Forwards connections to one address until a method below says otherwise.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts a proxy to `port` of this machine. Its threads end with the process.
    ///
    /// # Errors
    /// No port to listen on.
    pub fn start(port: u16) -> Result<Self> {
        Self::with_latency(port, Duration::ZERO)
    }

    /// Starts a proxy to `port` through which every byte takes `latency`, in each direction.
    ///
    /// # Errors
    /// No port to listen on.
    pub fn with_latency(port: u16, latency: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Err(error) = accept(&accepting, client, port, latency) {
                    eprintln!("proxy: {error}");
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// `url` with this proxy in place of the server.
    ///
    /// # Panics
    /// When the URL has no port.
    pub fn url(&self, url: &str, port: u16) -> String {
        let (from, to) = (format!(":{port}"), format!(":{}", self.address.port()));
        assert!(url.contains(&from), "{url} has no port {port}");
        url.replace(&from, &to)
    }

    /// Stops forwarding on the connections that are open now, in both directions; new ones are forwarded. Returns how
    /// many there are.
    pub fn freeze_existing(&self) -> usize {
        let pairs = self.pairs();
        pairs.iter().for_each(|pair| pair.frozen.store(true, Ordering::SeqCst));
        pairs.len()
    }

    /// Resets all connections that are open now.
    pub fn reset_existing(&self) {
        for pair in self.pairs().drain(..) {
            // A peer that is gone already is as good.
            drop(pair.client.shutdown(Shutdown::Both));
            drop(pair.server.map(|server| server.shutdown(Shutdown::Both)));
        }
    }

    /// Whether new connections are accepted and left without an answer. They are never answered.
    pub fn set_unanswering(&self, unanswering: bool) {
        self.shared.unanswering.store(unanswering, Ordering::SeqCst);
    }

    /// Connections that were accepted and left without an answer.
    pub fn unanswered(&self) -> usize {
        *self.shared.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pairs(&self) -> std::sync::MutexGuard<'_, Vec<Pair>> {
        self.shared.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(shared: &Arc<Shared>, client: TcpStream, port: u16, latency: Duration) -> Result<()> {
    let frozen = Arc::new(AtomicBool::new(false));
    let mut pairs = shared.pairs.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.unanswering.load(Ordering::SeqCst) {
        *shared.unanswered.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        pairs.push(Pair { client, server: None, frozen });
        return Ok(());
    }
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    for (from, to) in [(&client, &server), (&server, &client)] {
        if latency.is_zero() {
            pump(from.try_clone()?, to.try_clone()?, Arc::clone(&frozen));
        } else {
            pump_late(from.try_clone()?, to.try_clone()?, latency);
        }
    }
    pairs.push(Pair { client, server: Some(server), frozen });
    Ok(())
}

/// Copies one direction. A frozen connection keeps its sockets open and passes nothing on.
fn pump(mut from: TcpStream, mut to: TcpStream, frozen: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            while frozen.load(Ordering::SeqCst) {
                // The sockets belong to this thread as well: they stay open for as long as the process lives.
                thread::park();
            }
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                drop(to.shutdown(Shutdown::Both));
                return;
            }
        }
    });
}

/// Copies one direction, each piece `latency` after it came; at most 4 MiB are on their way.
fn pump_late(mut from: TcpStream, mut to: TcpStream, latency: Duration) {
    let (sent, arriving) = sync_channel::<(Instant, Vec<u8>)>(64);
    thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            // Without a reader, the other direction has ended as well.
            if sent.send((Instant::now() + latency, buffer[..read].to_vec())).is_err() || read == 0 {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (at, bytes) in arriving {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
    });
}
