//! `publish`: the JSON lines of a file or of standard input become records, as they are.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use shared::lines::{self, Line, Lines, NotARecord};
use shared::signal::Shutdown;
use thiserror::Error;

use crate::produce::{ProduceError, bar, log_acknowledged, outcome};
use crate::publish::{PublishError, Publisher};
use crate::status::Status;

/// Lines that are read ahead.
const QUEUE: usize = 1024;
/// How often delivery reports are served while no line arrives.
const TURN: Duration = Duration::from_millis(50);
/// Records between two updates of the progress bar.
const BAR_EVERY: u64 = 1024;
/// How many bad lines of a file are named.
const NAMED: usize = 10;

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `-`
    Stdin,
    /// A file. One that can be read once only, such as a pipe, is treated like standard input.
    File(PathBuf),
}

impl From<&Path> for Input {
    fn from(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path.to_owned()) }
    }
}

impl Input {
    fn open(&self) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match self {
            Self::Stdin => Box::new(BufReader::new(io::stdin())),
            Self::File(path) => Box::new(BufReader::with_capacity(256 * 1024, File::open(path)?)),
        })
    }

    fn can_be_read_twice(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What `publish` does.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its lines.
    pub input: Input,
    /// The fields that records get their keys from; empty: they have no keys.
    pub key: Vec<String>,
    /// The size of a record's key and value together, at most.
    pub max_bytes: usize,
}

/// Why lines were not published.
#[derive(Debug, Error)]
pub enum FileError {
    /// The input cannot be read.
    #[error("cannot read {input}: {source}")]
    Unreadable {
        /// File or standard input.
        input: Input,
        /// Why.
        source: io::Error,
    },
    /// Lines of a file are not records. Nothing was published.
    #[error("nothing was published: {bad} of {lines} lines of {input} are not records{}", named(.first, *.bad))]
    BadLines {
        /// The file.
        input: Input,
        /// Lines that are not blank.
        lines: u64,
        /// Those that are not records.
        bad: u64,
        /// The first of them.
        first: Vec<BadLine>,
    },
    /// A line of an input that can be read once only is not a record.
    #[error("{input}, {line}; the {acknowledged} records before it were published")]
    BadLine {
        /// File or standard input.
        input: Input,
        /// The line.
        line: BadLine,
        /// Records that are published.
        acknowledged: u64,
    },
    /// A record was not published.
    #[error(transparent)]
    Produce(#[from] ProduceError),
}

fn named(first: &[BadLine], bad: u64) -> String {
    let mut text: String = first.iter().map(|line| format!("\n  {line}")).collect();
    let more = bad - first.len() as u64;
    if more > 0 {
        text += &format!("\n  and {more} more");
    }
    text
}

impl FileError {
    /// Whether nothing was published because of the input.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::BadLines { .. } | Self::Unreadable { .. })
    }
}

/// A line that is not a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {number}: {problem}")]
pub struct BadLine {
    number: u64,
    problem: BadLineProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum BadLineProblem {
    #[error(transparent)]
    NotARecord(#[from] NotARecord),
    #[error(transparent)]
    LineTooLong(#[from] lines::LineTooLong),
    #[error("{0} bytes with its key, and a record may have {1} (message.max.bytes)")]
    TooLong(usize, usize),
}

/// A record.
struct Record {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

impl Publication {
    /// Publishes every line and waits for all acknowledgements. The lines of a file are checked before the first is
    /// published; the first failure ends it.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn run(
        &self,
        mut publisher: Publisher,
        status: &Arc<Status>,
        shutdown: &Shutdown,
    ) -> Result<(), FileError> {
        let checked = if self.input.can_be_read_twice() { Some(self.check()?) } else { None };
        let lines = self.read_ahead()?;
        publisher.find_topics().map_err(ProduceError::Topic)?;
        let bar = bar(checked);
        let began = Instant::now();
        let mut ended = Ok(());
        let mut asked = checked;
        loop {
            if shutdown.requested() || status.measured.failed.get() > 0 {
                break;
            }
            let line = match lines.recv_timeout(TURN) {
                Ok(Ok(line)) => line,
                Ok(Err(source)) => {
                    ended = Err(Stopped::Unreadable(source));
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {
                    publisher.poll();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    // A file may have grown or shrunk since it was checked.
                    asked = Some(publisher.handed_over());
                    break;
                }
            };
            ended = self.record(line).map_err(Stopped::BadLine).and_then(|record| {
                publisher.send(record.key.as_deref(), &record.value).map_err(Stopped::Publish)
            });
            if ended.is_err() {
                break;
            }
            if publisher.handed_over().is_multiple_of(BAR_EVERY) {
                bar.set_position(status.measured.acknowledged.get());
            }
        }
        publisher.drain();
        bar.finish_and_clear();
        let asked = asked.unwrap_or_else(|| publisher.handed_over());
        self.finish(ended, asked, status, shutdown)?;
        log_acknowledged(asked, began);
        Ok(())
    }

    fn finish(
        &self,
        ended: Result<(), Stopped>,
        asked: u64,
        status: &Status,
        shutdown: &Shutdown,
    ) -> Result<(), FileError> {
        let input = self.input.clone();
        let acknowledged = status.measured.acknowledged.get();
        let published = match ended {
            Err(Stopped::BadLine(line)) => return Err(FileError::BadLine { input, line, acknowledged }),
            Err(Stopped::Unreadable(source)) => return Err(FileError::Unreadable { input, source }),
            Err(Stopped::Publish(PublishError::Stopped)) | Ok(()) => Ok(()),
            Err(Stopped::Publish(error)) => Err(error),
        };
        Ok(outcome(status, shutdown, published, asked)?)
    }

    /// Checks all lines of a file, and counts them.
    fn check(&self) -> Result<u64, FileError> {
        let (mut lines, mut bad, mut first) = (0, 0, Vec::new());
        for line in Lines::new(self.open()?, self.max_bytes) {
            lines += 1;
            let Err(problem) = self.record(line.map_err(|source| self.unreadable(source))?) else { continue };
            bad += 1;
            if first.len() < NAMED {
                first.push(problem);
            }
        }
        if bad > 0 {
            return Err(FileError::BadLines { input: self.input.clone(), lines, bad, first });
        }
        Ok(lines)
    }

    /// Reads the lines on a thread of its own: reading may wait for long, and delivery reports must be served.
    fn read_ahead(&self) -> Result<Receiver<io::Result<Line>>, FileError> {
        let lines = Lines::new(self.open()?, self.max_bytes);
        let (sender, receiver) = sync_channel(QUEUE);
        let read = move || {
            for line in lines {
                let failed = line.is_err();
                if sender.send(line).is_err() || failed {
                    return;
                }
            }
        };
        let spawned = thread::Builder::new().name("lines".to_owned()).spawn(read);
        spawned.map_err(|source| self.unreadable(source))?;
        Ok(receiver)
    }

    fn open(&self) -> Result<Box<dyn BufRead + Send>, FileError> {
        self.input.open().map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: io::Error) -> FileError {
        FileError::Unreadable { input: self.input.clone(), source }
    }

    fn record(&self, line: Line) -> Result<Record, BadLine> {
        let Line { number, text } = line;
        let read = || -> Result<Record, BadLineProblem> {
            let value = text?;
            let key = if self.key.is_empty() {
                lines::check(&value)?;
                None
            } else {
                Some(lines::key(&self.key, &value)?)
            };
            let bytes = value.len() + key.as_ref().map_or(0, Vec::len);
            if bytes > self.max_bytes {
                return Err(BadLineProblem::TooLong(bytes, self.max_bytes));
            }
            Ok(Record { key, value })
        };
        read().map_err(|problem| BadLine { number, problem })
    }
}

/// Why publishing ended before the last line.
enum Stopped {
    BadLine(BadLine),
    Unreadable(io::Error),
    Publish(PublishError),
}
