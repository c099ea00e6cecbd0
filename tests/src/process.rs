//! A child process that ends with us, whose signals, memory and CPU time a test can use.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::signals::{self, Ended, Signal};
use crate::{reaper, wait};

/// How it is ended when it is dropped, or when we die first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL.
    Kill,
    /// SIGQUIT: for PostgreSQL, which must free its shared memory.
    Quit,
}

/// A running child; killed on drop.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    ending: Ending,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: Option<Ended>,
    detached: bool,
    peak_rss_bytes: u64,
}

impl Process {
    /// Starts `command` in a process group of its own, without input.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(command: &mut Command, ending: Ending) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let pid = i32::try_from(child.id()).context("pid")?;
        match ending {
            Ending::Kill => reaper::kill(pid),
            Ending::Quit => reaper::quit(pid),
        }
        Ok(Self { pid, ending, state: Mutex::default() })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal, unless the process was reaped: its pid may be another's by then.
    pub fn signal(&self, signal: Signal) {
        let state = self.state();
        if state.ended.is_none() {
            signals::send(self.pid, signal);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        let mut state = self.state();
        if state.ended.is_none() {
            if let Some(peak) = status_bytes(self.pid, "VmHWM:") {
                state.peak_rss_bytes = peak;
            }
            state.ended = signals::reap(self.pid).expect("a child of ours, reaped only here");
            if state.ended.is_some() {
                reaper::forget(self.pid);
            }
        }
        state.ended
    }

    /// Waits until it ends, at most for `deadline`.
    pub fn wait(&self, deadline: Duration) -> Option<Ended> {
        wait::try_until_ok(deadline, || self.ended().ok_or(())).ok()
    }

    /// SIGKILL to it and its children, and waits until all of them are gone.
    pub fn kill_family(&self) {
        if self.ended().is_some() {
            return;
        }
        let children = signals::children(self.pid);
        self.signal(Signal::Kill);
        for child in &children {
            signals::send(*child, Signal::Kill);
        }
        wait::until(Duration::from_secs(30), "a killed process is gone", || {
            self.ended().is_some() && !children.iter().any(|child| signals::is_alive(*child))
        });
    }

    /// Freezes it and its children: the parent first, so that it cannot start another child meanwhile.
    pub fn pause_family(&self) {
        self.signal(Signal::Stop);
        wait::until(Duration::from_secs(10), "a stopped process stops", || signals::is_stopped(self.pid));
        for child in signals::children(self.pid) {
            signals::send(child, Signal::Stop);
        }
    }

    /// Lets it and its children go on.
    pub fn resume_family(&self) {
        for child in signals::children(self.pid) {
            signals::send(child, Signal::Cont);
        }
        self.signal(Signal::Cont);
    }

    /// Resident memory now, in bytes; 0 once it ended.
    pub fn rss_bytes(&self) -> u64 {
        status_bytes(self.pid, "VmRSS:").unwrap_or(0)
    }

    /// The most resident memory it ever had, in bytes; after its end, as last seen by a wait.
    pub fn peak_rss_bytes(&self) -> u64 {
        let _ = self.ended();
        self.state().peak_rss_bytes
    }

    /// User and system time so far, in seconds; exact after its end.
    pub fn cpu_seconds(&self) -> f64 {
        if let Some(ended) = self.ended() {
            return ended.cpu_seconds;
        }
        let fields = signals::stat(self.pid).unwrap_or_default();
        // utime and stime are fields 14 and 15 of the line, 11 and 12 after the command's name.
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / signals::ticks_per_second()
    }

    /// Lets it outlive us; returns its pid.
    pub fn detach(self) -> i32 {
        self.state().detached = true;
        reaper::forget(self.pid);
        self.pid
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.state().detached {
            return;
        }
        if self.ending == Ending::Quit {
            self.signal(Signal::Quit);
            self.resume_family();
            self.wait(Duration::from_secs(10));
        }
        // No kill_family here: a drop during a panic must not panic.
        let children = signals::children(self.pid);
        self.signal(Signal::Kill);
        for child in children {
            signals::send(child, Signal::Kill);
        }
        self.wait(Duration::from_secs(10));
    }
}

/// A line of /proc/PID/status that is in kB, in bytes.
fn status_bytes(pid: i32, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|candidate| candidate.strip_prefix(line))?;
    let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
