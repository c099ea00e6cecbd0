//! An authorisation server as OIDC clients see it: over TLS, it gives a token for the right secret.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::base64::encode_block;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use tests::certificates::{Authority, Validity};
use tests::scratch::Scratch;

pub(crate) const CLIENT: &str = "livescores";
pub(crate) const SECRET: &str = "s3cret-of-livescores";

/// The server. Its threads end with the process.
pub(crate) struct TokenServer {
    pub(crate) url: String,
    files: Scratch,
    given: Arc<AtomicUsize>,
}

impl TokenServer {
    /// Starts it; its tokens name `user` and are valid for `seconds`.
    pub(crate) fn start(user: &'static str, seconds: u64) -> Self {
        let files = Scratch::new("tokens").unwrap();
        let authority = Authority::new("tokens");
        authority.write(files.path(), "ca");
        let issued = authority.issue("token server", &["localhost"], Validity::Current);
        let (certificate, key) = issued.write(files.path(), "server");
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_certificate_chain_file(certificate).unwrap();
        acceptor.set_private_key_file(key, SslFiletype::PEM).unwrap();
        let acceptor = acceptor.build();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
        let given = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&given);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that refuses the certificate.
                let Ok(mut stream) = acceptor.accept(stream.unwrap()) else { continue };
                let mut request = BufReader::new(&mut stream);
                let answer = if authorised(&mut request) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let token = token(user, seconds);
                    let body = format!(
                        "{{\"access_token\":\"{token}\",\"token_type\":\"bearer\",\"expires_in\":{seconds}}}"
                    );
                    response("200 OK", &body)
                } else {
                    response("401 Unauthorized", "{\"error\":\"invalid_client\"}")
                };
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.shutdown();
            }
        });
        Self { url, files, given }
    }

    /// The certificate of its authority.
    pub(crate) fn authority(&self) -> String {
        self.files.path().join("ca.crt").display().to_string()
    }

    /// How many tokens it has given.
    pub(crate) fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }
}

/// Reads a request; whether it carries the client's name and secret.
fn authorised(request: &mut impl BufRead) -> bool {
    let expected = format!("Basic {}", encode_block(format!("{CLIENT}:{SECRET}").as_bytes()));
    let (mut authorised, mut length) = (false, 0);
    let mut line = String::new();
    while request.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            authorised |= name.eq_ignore_ascii_case("authorization") && value == expected;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap();
            }
        }
        line.clear();
    }
    let _ = request.read_exact(&mut vec![0; length]);
    authorised
}

/// A token without a signature, which the broker takes.
fn token(user: &str, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!("{{\"sub\":\"{user}\",\"iat\":{now},\"exp\":{}}}", now + seconds);
    let encoded = |text: &str| {
        let text = encode_block(text.as_bytes());
        text.trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    format!("{}.{}.", encoded("{\"alg\":\"none\"}"), encoded(&claims))
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
