//! Starts the sink again when a file was replaced that its Kafka clients read only when they are created, and they cannot connect.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::kafka::StartFiles;

use crate::kafka::consumer::ClientSettings;
use crate::observe::health::Component;
use crate::run::build::Sink;

/// How often the files are read while Kafka does not answer.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Again {
    files: StartFiles,
    next: Instant,
    wanted: bool,
}

impl Again {
    /// With the files as they are now: before the clients are created.
    pub(super) fn new(files: StartFiles, now: Instant) -> Self {
        Self { files, next: now, wanted: false }
    }

    /// Called several times a second. Requests the shutdown of a run without an end.
    pub(super) fn tick(&mut self, sink: &Sink<'_>, now: Instant) {
        let context = &sink.writer_context;
        if self.wanted || now < self.next || sink.bounds.bounded() || context.shutdown.requested() {
            return;
        }
        self.next = now + INTERVAL;
        if context.health.is_ok(&Component::Kafka) {
            return;
        }
        let Some(file) = self.files.changed() else { return };
        // A certificate whose key is still the old one: the rest will follow.
        let settings = ClientSettings {
            kafka: &sink.config.kafka,
            client_id: sink.config.name.clone(),
            metrics: Arc::clone(&context.metrics),
        };
        if let Err(error) = settings.query_client() {
            tracing::debug!(%error, file, "a replaced file cannot be used yet");
            return;
        }
        tracing::info!(file, "starting again to read a file that was replaced");
        self.wanted = true;
        context.shutdown.request();
    }

    /// Whether the sink has stopped only to start again.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }
}

/// Replaces the process by a new one with the same arguments and environment. Returns only if that fails.
pub(super) fn start_again() -> std::io::Error {
    shared::log::flush();
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).exec()
}
