//! The thread that writes the log. Those that log do not wait for a reader of standard error that does not read: lines that find
//! no room are lost, and counted.

use std::collections::VecDeque;
use std::io::{self, Write, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Bound of the queued lines.
const MOST_BYTES: usize = 1 << 18;
/// How long a line may wait for room.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long [`flush`] waits for one line. Nobody reads if it takes longer.
const FLUSH: Duration = Duration::from_secs(1);
/// How long [`flush`] waits in all.
const FLUSH_ALL: Duration = Duration::from_secs(5);

static LOST: AtomicU64 = AtomicU64::new(0);
static LINES: OnceLock<Lines> = OnceLock::new();

/// The number of log lines that could not be written: standard error is closed, its disk is full, or nobody reads it.
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Starts the thread. Without it, because the system has no thread left, lines are written at once.
pub(super) fn start(write: impl Fn(&[u8]) + Send + 'static) {
    let started = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || LINES.get_or_init(Lines::default).run(write));
    if started.is_ok() {
        LINES.get_or_init(Lines::default);
    }
}

/// Writes a line of the log, or of a command, after those before it.
pub fn line(line: &[u8]) {
    match LINES.get() {
        Some(lines) => lines.push(line),
        None => write(&mut stderr(), line),
    }
}

/// Waits until all lines are written. False if they cannot be: nobody reads them.
pub fn flush() -> bool {
    LINES.get().is_none_or(|lines| lines.flush(FLUSH))
}

/// Writes a line, and counts it if that fails.
pub(super) fn write(out: &mut impl Write, line: &[u8]) {
    if out.write_all(line).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// A line of the subscriber, which writes each with one call.
pub(super) struct Queued;

impl Write for Queued {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        line(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Lines {
    queue: Mutex<Queue>,
    /// A line was queued, or written.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// When the writing of a line began that has not ended.
    writing: Option<Instant>,
}

impl Queue {
    fn is_stuck(&self, limit: Duration) -> bool {
        self.writing.is_some_and(|since| since.elapsed() >= limit)
    }

    fn is_done(&self) -> bool {
        self.lines.is_empty() && self.writing.is_none()
    }
}

impl Lines {
    fn push(&self, line: &[u8]) {
        let has_room = |queue: &Queue| queue.lines.is_empty() || queue.bytes + line.len() <= MOST_BYTES;
        let mut queue = self.queue.lock();
        if !self.wait(&mut queue, PATIENCE, PATIENCE, has_room) {
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        self.changed.notify_all();
    }

    fn flush(&self, of_line: Duration) -> bool {
        self.wait(&mut self.queue.lock(), FLUSH_ALL, of_line, Queue::is_done)
    }

    /// Waits for a condition, as long as no line takes longer than `of_line`.
    fn wait(
        &self,
        queue: &mut MutexGuard<'_, Queue>,
        limit: Duration,
        of_line: Duration,
        holds: impl Fn(&Queue) -> bool,
    ) -> bool {
        let until = Instant::now() + limit;
        while !holds(queue) {
            if queue.is_stuck(of_line) || Instant::now() >= until {
                return false;
            }
            self.changed.wait_for(queue, PATIENCE);
        }
        true
    }

    fn run(&self, write: impl Fn(&[u8])) {
        let mut queue = self.queue.lock();
        loop {
            let Some(line) = queue.lines.pop_front() else {
                self.changed.wait(&mut queue);
                continue;
            };
            queue.bytes -= line.len();
            queue.writing = Some(Instant::now());
            MutexGuard::unlocked(&mut queue, || write(&line));
            queue.writing = None;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};

    use super::*;

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let before = lost_lines();
        let mut full = io::Cursor::new([0_u8; 4]);
        write(&mut full, b"four");
        assert_eq!(full.get_ref(), b"four");
        write(&mut full, b"more");
        assert!(lost_lines() > before);
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let lines: &'static Lines = Box::leak(Box::default());
        // The reader takes a line when it is asked to.
        let (read, reads) = channel::<()>();
        let (seen_in, seen) = sync_channel(10_000);
        thread::spawn(move || {
            lines.run(move |line| {
                let _ = reads.recv();
                let _ = seen_in.send(line.to_vec());
            });
        });
        let before = lost_lines();
        let long = vec![b'x'; MOST_BYTES / 8];
        let began = Instant::now();
        for _ in 0..1000 {
            lines.push(&long);
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(lost_lines() >= before + 980, "{} lost", lost_lines() - before);
        assert!(!lines.flush(Duration::from_millis(300)), "nobody reads");
        drop(read);
        let until = Instant::now() + Duration::from_secs(10);
        while !lines.flush(Duration::from_secs(10)) {
            assert!(Instant::now() < until, "all that had room is written");
        }
        assert!(seen.try_iter().count() >= 8);
        lines.push(b"later");
        assert!(lines.flush(Duration::from_secs(10)));
        assert_eq!(seen.try_iter().last().as_deref(), Some(b"later".as_slice()));
    }
}
