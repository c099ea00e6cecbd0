//! The few system calls that std does not offer: signals, and the accounting of a child that ended.

#![allow(unsafe_code)] // libc calls without pointers to anything but locals

use std::fs;
use std::io;

/// A signal, named by what it does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please stop.
    Term,
    /// SIGINT: Ctrl-C; PostgreSQL's fast shutdown.
    Int,
    /// SIGQUIT: PostgreSQL's immediate shutdown, which still frees its shared memory.
    Quit,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: frozen, with its connections open.
    Stop,
    /// SIGCONT.
    Cont,
}

/// Sends `signal`; a process that is gone already is not an error.
pub fn send(pid: i32, signal: Signal) {
    let number = match signal {
        Signal::Term => libc::SIGTERM,
        Signal::Int => libc::SIGINT,
        Signal::Quit => libc::SIGQUIT,
        Signal::Kill => libc::SIGKILL,
        Signal::Stop => libc::SIGSTOP,
        Signal::Cont => libc::SIGCONT,
    };
    assert!(pid > 1, "pid {pid} would address more than one process");
    // SAFETY: kill takes two integers and touches no memory of ours.
    let _ = unsafe { libc::kill(pid, number) };
}

/// How a child ended, and what it used.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Exit code, absent when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// User and system time of its whole life.
    pub cpu_seconds: f64,
}

/// Reaps our child `pid` if it has ended; does not block.
///
/// # Errors
/// ECHILD when it is no child of ours or was reaped before.
pub fn reap(pid: i32) -> io::Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid rusage, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that outlive the call.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match reaped {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some(Ended {
            code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        })),
    }
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

/// User and system time of all children that ended and were reaped, in seconds.
pub fn children_cpu_seconds() -> f64 {
    // SAFETY: all-zero bytes are a valid rusage, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a local that outlives the call, which cannot fail for this constant.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// User and system time so far, in seconds, of a process, of its children that it has reaped, and of those that run.
pub fn family_cpu_seconds(pid: i32) -> f64 {
    // utime, stime, cutime and cstime are fields 14 to 17 of the line, 11 to 14 after the command's name.
    let ticks = |fields: &[String], range: std::ops::Range<usize>| -> f64 {
        fields.get(range).into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum()
    };
    let own = stat(pid).map_or(0.0, |fields| ticks(&fields, 11..15));
    let running: f64 = children(pid).into_iter().filter_map(stat).map(|fields| ticks(&fields, 11..13)).sum();
    (own + running) / ticks_per_second()
}

/// The effective user is root.
pub fn is_root() -> bool {
    // SAFETY: takes nothing, always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// Clock ticks per second of the times in /proc.
pub fn ticks_per_second() -> f64 {
    // SAFETY: takes an integer, always succeeds for this name on Linux.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ticks as f64
}

/// The fields of /proc/PID/stat after the command's name: state, parent, …
pub fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold spaces and parentheses itself.
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// A process with this pid runs (a zombie does not).
pub fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X")
}

/// The process is stopped, as SIGSTOP leaves it.
pub fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] == "T")
}

/// The direct children of `pid`.
pub fn children(pid: i32) -> Vec<i32> {
    let parent = pid.to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|child| stat(*child).is_some_and(|fields| fields[1] == parent))
        .collect()
}
