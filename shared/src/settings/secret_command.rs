//! Programs whose output is a secret, such as a password or a token that expires.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;

use super::Secret;

/// The longest output that is read. Tokens have a few kilobytes.
const OUTPUT_MAX_BYTES: u64 = 64 * 1024;
/// How long its output may stay open after the program has ended, because a process that it started holds it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the program gave no secret. It never shows what the program printed on standard output.
#[derive(Debug, Error)]
pub enum SecretCommandError {
    /// It cannot be started, or its end not be awaited.
    #[error("cannot run {0:?}: {1}")]
    Start(String, io::Error),
    /// It was killed.
    #[error("{program:?} did not end within {} ms and was killed", .timeout.as_millis())]
    TimedOut {
        /// The program.
        program: String,
        /// Its longest time.
        timeout: Duration,
    },
    /// It says so by its exit status.
    #[error("{program:?} ended with {status}{}", with_errors(.stderr))]
    Failed {
        /// The program.
        program: String,
        /// Its exit status or signal, in words.
        status: String,
        /// The last line of its standard error.
        stderr: String,
    },
    /// It printed nothing.
    #[error("{program:?} printed nothing{}", with_errors(.stderr))]
    Empty {
        /// The program.
        program: String,
        /// The last line of its standard error.
        stderr: String,
    },
    /// Its output is no secret.
    #[error("{0:?} printed more than {OUTPUT_MAX_BYTES} bytes, or bytes that are not UTF-8")]
    Unreadable(String),
    /// Its output never ended.
    #[error("{0:?} has ended, but a process that it started keeps its output open")]
    StillOpen(String),
}

fn with_errors(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// What the threads report.
enum Event {
    Output(Vec<u8>),
    Errors(Vec<u8>),
    Ended(io::Result<ExitStatus>),
}

/// Runs a program with its arguments, in a process group of its own, until it has ended and closed its output. The output
/// without one line ending is the secret.
///
/// # Errors
/// See [`SecretCommandError`].
pub fn run_secret_command(command: &[String], timeout: Duration) -> Result<Secret, SecretCommandError> {
    let deadline = Instant::now() + timeout;
    let (program, arguments) = command.split_first().map_or(("", &[][..]), |(p, rest)| (p.as_str(), rest));
    let name = || program.to_owned();
    let failed = |error| SecretCommandError::Start(name(), error);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let group = Pid::from_raw(child.id().cast_signed());
    // Three events at most.
    let (events_in, events) = channel();
    let started =
        child.stdout.take().map_or(Ok(()), |pipe| read(pipe, Event::Output, events_in.clone())).and_then(
            |()| child.stderr.take().map_or(Ok(()), |pipe| read(pipe, Event::Errors, events_in.clone())),
        );
    let waiting = thread::Builder::new().name("secret".to_owned()).spawn(move || {
        // The receiver is gone after a timeout; the thread stays until the process is reaped.
        drop(events_in.send(Event::Ended(child.wait())));
    });
    if let Err(error) = started.and_then(|()| waiting.map(drop)) {
        kill(group);
        return Err(failed(error));
    }
    let ended = wait(&events, deadline, group);
    let Some(Ended { status, output, errors }) = ended else {
        return Err(SecretCommandError::TimedOut { program: name(), timeout });
    };
    let status = status.map_err(failed)?;
    let (Some(output), Some(errors)) = (output, errors) else {
        return Err(SecretCommandError::StillOpen(name()));
    };
    let stderr = last_line(&errors);
    // Before the status: the program may have died of its closed output.
    if output.len() as u64 > OUTPUT_MAX_BYTES {
        return Err(SecretCommandError::Unreadable(name()));
    }
    if !status.success() {
        return Err(SecretCommandError::Failed { program: name(), status: in_words(status), stderr });
    }
    secret(output).ok_or_else(|| SecretCommandError::Unreadable(name())).and_then(|secret| {
        if secret.expose().is_empty() {
            Err(SecretCommandError::Empty { program: name(), stderr })
        } else {
            Ok(secret)
        }
    })
}

struct Ended {
    status: io::Result<ExitStatus>,
    output: Option<Vec<u8>>,
    errors: Option<Vec<u8>>,
}

/// Collects the events; `None` if the program has not ended by the deadline. Kills what is left of the group.
fn wait(events: &Receiver<Event>, mut deadline: Instant, group: Pid) -> Option<Ended> {
    let (mut status, mut output, mut errors) = (None, None, None);
    let mut killed = false;
    while status.is_none() || output.is_none() || errors.is_none() {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Output(bytes)) => output = Some(bytes),
            Ok(Event::Errors(bytes)) => errors = Some(bytes),
            Ok(Event::Ended(ended)) => {
                status = Some(ended);
                deadline = deadline.min(Instant::now() + CLOSE_TIMEOUT);
            }
            Err(_) if status.is_some() && !killed => {
                killed = true;
                kill(group);
                deadline = Instant::now() + CLOSE_TIMEOUT;
            }
            Err(_) => {
                kill(group);
                break;
            }
        }
    }
    Some(Ended { status: status?, output, errors })
}

fn kill(group: Pid) {
    if let Err(error) = killpg(group, Signal::SIGKILL) {
        tracing::debug!(%error, "the program has ended by itself");
    }
}

fn read(
    pipe: impl Read + Send + 'static,
    event: fn(Vec<u8>) -> Event,
    events: Sender<Event>,
) -> io::Result<()> {
    thread::Builder::new().name("secret".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        if let Err(error) = pipe.take(OUTPUT_MAX_BYTES + 1).read_to_end(&mut bytes) {
            tracing::debug!(%error, "cannot read the output of the program");
        }
        drop(events.send(event(bytes)));
    })?;
    Ok(())
}

fn secret(output: Vec<u8>) -> Option<Secret> {
    let text = String::from_utf8(output).ok()?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Some(Secret::new(line))
}

fn last_line(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|c| !c.is_control()).take(500).collect()
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout_ms: u64) -> Result<String, String> {
        let command = ["sh", "-c", script].map(str::to_owned);
        let secret = run_secret_command(&command, Duration::from_millis(timeout_ms));
        secret.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_output_is_the_secret_without_one_line_ending() {
        assert_eq!(shell("printf ' s3cret \\n'", 10_000), Ok(" s3cret ".to_owned()));
        assert_eq!(shell("printf 's3cret\\n\\n'", 10_000), Ok("s3cret\n".to_owned()));
        assert_eq!(shell("printf s3cret; echo noise >&2", 10_000), Ok("s3cret".to_owned()));
    }

    #[test]
    fn a_failure_shows_the_status_and_the_last_line_of_errors_and_never_the_output() {
        let error =
            shell("echo s3cret; echo first >&2; echo 'no credentials' >&2; exit 7", 10_000).unwrap_err();
        assert_eq!(error, "\"sh\" ended with exit status 7: no credentials");
        let error = shell("echo s3cret; kill -9 $$", 10_000).unwrap_err();
        assert_eq!(error, "\"sh\" ended with signal 9");
        assert_eq!(shell("true", 10_000), Err("\"sh\" printed nothing".to_owned()));
        let long = shell("head -c 100000 /dev/zero", 10_000).unwrap_err();
        assert!(long.contains("more than 65536 bytes"), "{long}");
        let missing =
            run_secret_command(&["/no/such/program".to_owned()], Duration::from_secs(1)).unwrap_err();
        assert!(missing.to_string().contains("/no/such/program"), "{missing}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo s3cret; wait", file.display());
        let started = Instant::now();
        let error = shell(&script, 500).unwrap_err();
        assert_eq!(error, "\"sh\" did not end within 500 ms and was killed");
        assert!(started.elapsed() < Duration::from_secs(30));
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let ended = || {
            let status = std::fs::read_to_string(format!("/proc/{child}/stat"));
            status.map_or(true, |status| status.contains(") Z "))
        };
        while !ended() {
            assert!(Instant::now() < until, "the child still runs");
            thread::yield_now();
        }
    }

    #[test]
    fn a_child_that_keeps_the_output_open_does_not_hold_up_the_secret() {
        let started = Instant::now();
        assert_eq!(shell("sleep 1000 & echo s3cret", 60_000), Ok("s3cret".to_owned()));
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
