//! A panic in a process whose log is JSON.

use std::process::Command;

use serde_json::Value;
use shared::log::{self, LogFormat};

const CHILD: &str = "JSON_PANICS_CHILD";

#[test]
fn a_panic_is_a_line_of_the_log() {
    if std::env::var_os(CHILD).is_some() {
        log::init(LogFormat::Json, "off").unwrap();
        panic!("of two\nlines");
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_panic_is_a_line_of_the_log", "--nocapture"]).env(CHILD, "1");
    let output = child.env("RUST_BACKTRACE", "1").output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(lines[0]["message"].as_str().is_some_and(|text| text.contains("of two\nlines")), "{stderr}");
    assert!(lines[0]["backtrace"].is_string(), "{stderr}");
}
