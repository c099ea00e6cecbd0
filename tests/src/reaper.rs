//! Ends what we started and deletes our directories when this process ends, even by SIGKILL.
//!
//! Statics are never dropped and a killed process runs no destructor, so a small shell holds the other end of a
//! pipe: we send it pids and directories. We are the only writer, so the end of the pipe shows that we are
//! gone. It runs in a process group of its own, so that Ctrl-C does not reach it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
started=
set --
family() { echo "$1"; grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | tr -dc '0-9\n'; }
while IFS= read -r line; do
  what=${line#* }
  case $line in
    'kill '*|'quit '*) started="$started ${line%% *}:$what" ;;
    'forget '*) left=
      for entry in $started; do [ "${entry#*:}" = "$what" ] || left="$left $entry"; done
      started=$left ;;
    'remove '*) set -- "$@" "$what" ;;
    'keep '*) for dir; do shift; [ "$dir" = "$what" ] || set -- "$@" "$dir"; done ;;
  esac
done
for entry in $started; do
  pid=${entry#*:}
  all=$(family "$pid")
  case $entry in
    kill:*) kill -KILL $all ;;
    quit:*) kill -QUIT "$pid"; kill -CONT $all ;;
  esac
done
for entry in $started; do
  pid=${entry#*:} tries=0
  while [ $tries -lt 50 ] && kill -0 "$pid"; do tries=$((tries + 1)); sleep 0.1; done
  case $entry in quit:*) kill -KILL $(family "$pid") ;; esac
done
rm -rf -- "$@"
"#;

/// Never waited for: it ends after us.
static REAPER: OnceLock<Mutex<Child>> = OnceLock::new();

fn send(what: &str) {
    let reaper = REAPER.get_or_init(|| {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "reaper"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("/bin/sh starts");
        Mutex::new(shell)
    });
    let mut reaper = reaper.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pipe = reaper.stdin.as_mut().expect("stdin was piped");
    writeln!(pipe, "{what}").expect("the reaper outlives us");
}

/// SIGKILL this process and its children when we end.
pub fn kill(pid: i32) {
    send(&format!("kill {pid}"));
}

/// SIGQUIT this process when we end: PostgreSQL's immediate shutdown, which frees its shared memory.
pub fn quit(pid: i32) {
    send(&format!("quit {pid}"));
}

/// This process has ended, or is to outlive us.
pub fn forget(pid: i32) {
    send(&format!("forget {pid}"));
}

/// Delete this directory when we end.
pub fn remove(dir: &Path) {
    send(&format!("remove {}", dir.display()));
}

/// This directory is gone, or is to outlive us.
pub fn keep(dir: &Path) {
    send(&format!("keep {}", dir.display()));
}
