//! The fenced blocks of a page.

/// A block between fences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The line of its first fence, from 1.
    pub line: usize,
    /// What the fence says that it holds.
    pub language: String,
    pub text: String,
    /// Why it cannot run in a test: from `<!-- not run: … -->` before it.
    pub not_run: Option<String>,
    /// The exit code that its commands have: from `<!-- exit code N -->` before it.
    pub expected_code: Option<i32>,
}

impl Block {
    /// Whether it is something to run or to load.
    pub(super) fn is_run(&self) -> bool {
        matches!(self.language.as_str(), "sh" | "toml" | "sql")
    }
}

/// The blocks of a page, in their order. `<!-- set up for the test: … -->` holds commands that readers do not see.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().zip(1..);
    let mut before = "";
    while let Some((line, number)) = lines.next() {
        let trimmed = line.trim_start();
        if let Some(commands) = comment(trimmed, "set up for the test:") {
            let language = "sh".to_owned();
            blocks.push(Block { line: number, language, text: commands, not_run: None, expected_code: None });
        }
        let Some(language) = trimmed.strip_prefix("```") else {
            if !trimmed.is_empty() {
                before = trimmed;
            }
            continue;
        };
        let indent = line.len() - trimmed.len();
        let mut text = String::new();
        for (line, _) in lines.by_ref().take_while(|(line, _)| line.trim() != "```") {
            text += line.get(indent..).unwrap_or_default();
            text.push('\n');
        }
        blocks.push(Block {
            line: number,
            language: language.trim().to_owned(),
            text,
            not_run: comment(before, "not run:"),
            expected_code: comment(before, "exit code").and_then(|code| code.parse().ok()),
        });
        before = "";
    }
    blocks
}

fn comment(line: &str, words: &str) -> Option<String> {
    let inside = line.strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    Some(inside.strip_prefix(words)?.trim().to_owned())
}

#[test]
fn blocks_are_found_with_their_markers() {
    let page = "a\n<!-- not run: needs a cluster -->\n```sh\nx\n  y\n```\n```\nz\n```\n<!-- exit code 3 -->\n\n   ```toml\n   a = 1\n   ```\n";
    let found = blocks(page);
    let short: Vec<_> = found.iter().map(|b| (b.line, b.language.as_str(), b.text.as_str())).collect();
    assert_eq!(short, [(3, "sh", "x\n  y\n"), (7, "", "z\n"), (12, "toml", "a = 1\n")]);
    assert_eq!(found[0].not_run.as_deref(), Some("needs a cluster"));
    assert_eq!((found[1].not_run.as_ref(), found[2].expected_code), (None, Some(3)));
}
