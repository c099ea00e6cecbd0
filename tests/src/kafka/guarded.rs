//! A broker that wants TLS and a login.

use std::path::Path;

use anyhow::Result;

use super::{Kafka, KafkaOptions};
use crate::certificates::{Authority, Validity};
use crate::ports;
use crate::scratch::Scratch;

/// The user of [`Guarded`].
pub const USER: &str = "scores";
/// The user's password.
pub const PASSWORD: &str = "s3cret-of-scores";

/// A broker with three listeners whose certificates are for the name `localhost`, and the files of their clients:
/// `ca.crt`, which has signed all; `other.crt`, another authority; `client.crt` and `client.key`.
pub struct Guarded {
    /// The broker. Its usual listener needs neither.
    pub kafka: Kafka,
    /// Where SASL_SSL is spoken, with PLAIN, SCRAM-SHA-512 and OAUTHBEARER (unsecured tokens).
    pub sasl: u16,
    /// Where clients need a certificate.
    pub mutual: u16,
    /// Where the broker's certificate has expired.
    pub expired: u16,
    files: Scratch,
}

impl Guarded {
    /// Starts it.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start() -> Result<Self> {
        let files = Scratch::new("guarded")?;
        let dir = files.path();
        let (ca, other) = (Authority::new("ca"), Authority::new("other"));
        let root = ca.write(dir, "ca");
        other.write(dir, "other");
        ca.issue(USER, &[], Validity::Current).write(dir, "client");
        let server = |validity, name| ca.issue("broker", &["localhost"], validity).write_together(dir, name);
        let (current, expired) = (server(Validity::Current, "server"), server(Validity::Expired, "expired"));
        let guarded = [
            ("SASL", ports::free(), "SASL_SSL", &current),
            ("MUTUAL", ports::free(), "SSL", &current),
            ("EXPIRED", ports::free(), "SSL", &expired),
        ];
        let mut options = KafkaOptions::default().user(USER, PASSWORD);
        for (name, port, protocol, keys) in guarded {
            let prefix = format!("listener.name.{}.ssl", name.to_lowercase());
            options = options.listener(name, port, protocol);
            for (end, value) in [
                ("keystore.type", "PEM"),
                ("keystore.location", &text(keys)),
                ("truststore.type", "PEM"),
                ("truststore.location", &text(&root)),
            ] {
                options = options.property(&format!("{prefix}.{end}"), value);
            }
        }
        let kafka = Kafka::start(logins(options))?;
        Ok(Self { kafka, sasl: guarded[0].1, mutual: guarded[1].1, expired: guarded[2].1, files })
    }

    /// The path of a file of the clients.
    pub fn file(&self, name: &str) -> String {
        text(&self.files.path().join(name))
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn logins(options: KafkaOptions) -> KafkaOptions {
    let module =
        |module: &str, rest: &str| format!("org.apache.kafka.common.security.{module} required{rest};");
    let plain = module("plain.PlainLoginModule", &format!(" user_{USER}=\"{PASSWORD}\""));
    let jaas = |mechanism: &str| format!("listener.name.sasl.{mechanism}.sasl.jaas.config");
    options
        .property("listener.name.mutual.ssl.client.auth", "required")
        .property("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512,OAUTHBEARER")
        .property(&jaas("plain"), &plain)
        .property(&jaas("scram-sha-512"), &module("scram.ScramLoginModule", ""))
        .property(&jaas("oauthbearer"), &module("oauthbearer.OAuthBearerLoginModule", ""))
}
