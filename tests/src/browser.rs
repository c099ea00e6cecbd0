//! A real Chromium without a window: what a page shows, which requests it makes, what it looks like.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::scratch::Scratch;

/// Names of the program, the first of which `tests/setup.sh` installs.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A Chromium of this machine.
#[derive(Clone, Debug)]
pub struct Browser(String);

/// A page after its scripts have run.
#[derive(Debug)]
pub struct Seen {
    /// What a reader sees: the text of its elements, in their order, with one space between.
    pub text: String,
    /// The URLs of the requests that the page made, its own included.
    pub requests: BTreeSet<String>,
    /// What the browser reported: errors of scripts, violations of the content security policy.
    pub console: Vec<String>,
}

/// The appearance of a screenshot.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Width and height of the window in pixels.
    pub size: (u32, u32),
    /// Light text on a dark ground.
    pub dark: bool,
}

impl Browser {
    /// The browser of this machine. Without one, it prints which program is missing.
    pub fn installed() -> Option<Self> {
        let named = std::env::var("CHROMIUM").ok();
        let programs = named.iter().map(String::as_str).chain(PROGRAMS);
        let runs = |program: &&str| {
            let mut version = Command::new(program);
            version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        };
        let found = programs.into_iter().find(runs).map(|program| Self(program.to_owned()));
        if found.is_none() {
            // Past the capture of the test's output, so that it is seen although the test passes.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                b"The page was NOT tested in a browser: that needs Chromium (apt-get install chromium).\n",
            );
        }
        found
    }

    /// Opens a page, lets its scripts run for some seconds, and returns what is there.
    ///
    /// # Errors
    /// Chromium does not run, or cannot open the page.
    pub fn open(&self, url: &str) -> Result<Seen> {
        let scratch = Scratch::new("chromium")?;
        let log = scratch.path().join("requests.json");
        let output = self.run(
            &scratch,
            &[&format!("--log-net-log={}", log.display()), "--enable-logging=stderr", "--dump-dom", url],
        )?;
        let messages = String::from_utf8_lossy(&output.stderr);
        let dom = String::from_utf8(output.stdout).context("the page is not UTF-8")?;
        ensure!(dom.contains("<body"), "no page: {dom}\n{messages}");
        Ok(Seen {
            text: text(&dom),
            requests: requests(&fs::read_to_string(log).context("no log of requests")?, url)?,
            console: messages.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
        })
    }

    /// Writes a picture of a page, as PNG.
    ///
    /// # Errors
    /// Chromium does not run.
    pub fn screenshot(&self, url: &str, look: Look, file: &Path) -> Result<()> {
        let scratch = Scratch::new("chromium")?;
        let picture = format!("--screenshot={}", file.display());
        let size = format!("--window-size={},{}", look.size.0, look.size.1);
        let mut arguments = vec![picture.as_str(), &size, "--hide-scrollbars"];
        if look.dark {
            arguments.push("--blink-settings=preferredColorScheme=0");
        }
        arguments.push(url);
        self.run(&scratch, &arguments)?;
        ensure!(file.exists(), "Chromium wrote no {}", file.display());
        Ok(())
    }

    fn run(&self, scratch: &Scratch, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.0);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            // Nothing but this machine has a name.
            .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
            .args(["--virtual-time-budget=3500", "--timeout=30000"])
            .arg(format!("--user-data-dir={}", scratch.path().join("profile").display()))
            .args(arguments)
            .env("HOME", scratch.path());
        let output = command.output().with_context(|| format!("cannot run {}", self.0))?;
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended with {}\n{messages}", self.0, output.status);
        Ok(output)
    }
}

/// The requests in Chromium's log that the page at `url` made, or that fetched it. The browser's own do not count.
fn requests(log: &str, url: &str) -> Result<BTreeSet<String>> {
    let log: Value = serde_json::from_str(log).context("the log of requests is not JSON")?;
    let site = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let events = log["events"].as_array().context("the log of requests has no events")?;
    let made = |event: &Value| {
        let parameters = &event["params"];
        let target = parameters["url"].as_str()?;
        (parameters["initiator"] == site.as_str() || target == url).then(|| target.to_owned())
    };
    Ok(events.iter().filter_map(made).collect())
}

/// The text of a document without its scripts and styles.
fn text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        rest = ["script", "style", "noscript"]
            .iter()
            .find(|name| tag.starts_with(**name))
            .and_then(|name| tag.split_once(&format!("</{name}>")))
            .or_else(|| tag.split_once('>'))
            .map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let text = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&nbsp;", " "), ("&amp;", "&")]
        .iter()
        .fold(text, |text, (entity, character)| text.replace(entity, character));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_document_is_what_a_reader_sees() {
        let html =
            "<style>a { }</style><h1 class=\"x\">A</h1>\n<script>if (a < b) {}</script><p>1 &lt;b&gt; 2</p>";
        assert_eq!(text(html), "A 1 <b> 2");
    }

    #[test]
    fn requests_of_the_page_are_distinguished_from_those_of_the_browser() {
        let log = r#"{"events": [
            {"params": {"url": "http://127.0.0.1:1/", "initiator": "null"}},
            {"params": {"url": "http://127.0.0.1:1/status", "initiator": "http://127.0.0.1:1"}},
            {"params": {"url": "https://elsewhere.example/", "initiator": "http://127.0.0.1:1"}},
            {"params": {"url": "https://update.example/", "initiator": "null"}}, {"type": 1}]}"#;
        let found = requests(log, "http://127.0.0.1:1/").unwrap();
        let expected = ["http://127.0.0.1:1/", "http://127.0.0.1:1/status", "https://elsewhere.example/"];
        assert!(found.iter().eq(expected.iter()), "{found:?}");
    }
}
