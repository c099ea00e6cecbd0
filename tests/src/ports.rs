//! Free ports on 127.0.0.1.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex};

use rand::RngExt;

/// Below the kernel's ephemeral range: while a service is down, no outgoing connection can take its port.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port that nobody listens on and that this process has not given out before.
///
/// # Panics
/// When a thousand random ports were all taken.
pub fn free() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for _ in 0..1000 {
        let port = rand::rng().random_range(RANGE);
        if is_free(port) && given.insert(port) {
            return port;
        }
    }
    panic!("no free port in {RANGE:?}");
}

/// Nobody listens on `port` of 127.0.0.1 or of all addresses.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
