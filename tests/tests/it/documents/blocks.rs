//! The fenced blocks of a page.

/// A block between fences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What its commands print, among other text: from `<!-- prints: … -->` before it, once for each.
    pub prints: Vec<String>,
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
    // The comments since the last line of text.
    let mut before: Vec<&str> = Vec::new();
    while let Some((line, number)) = lines.next() {
        let trimmed = line.trim_start();
        if let Some(commands) = comment(trimmed, "set up for the test:") {
            blocks.push(Block {
                line: number,
                language: "sh".to_owned(),
                text: commands,
                ..Block::default()
            });
        }
        let Some(language) = trimmed.strip_prefix("```") else {
            if trimmed.starts_with("<!--") {
                before.push(trimmed);
            } else if !trimmed.is_empty() {
                before.clear();
            }
            continue;
        };
        let markers = std::mem::take(&mut before);
        let marked = |words: &str| markers.iter().filter_map(|line| comment(line, words)).collect::<Vec<_>>();
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
            not_run: marked("not run:").pop(),
            expected_code: marked("exit code").pop().map(|code| code.parse().expect("a number")),
            prints: marked("prints:"),
        });
    }
    blocks
}

fn comment(line: &str, words: &str) -> Option<String> {
    let inside = line.strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    Some(inside.strip_prefix(words)?.trim().to_owned())
}

#[test]
fn blocks_are_found_with_their_markers() {
    let page = "a\n<!-- not run: needs a cluster -->\n```sh\nx\n  y\n```\n```\nz\n```\n<!-- exit code 3 -->\n<!-- prints: b -->\n<!-- prints: c -->\n\n   ```toml\n   a = 1\n   ```\n";
    let found = blocks(page);
    let short: Vec<_> = found.iter().map(|b| (b.line, b.language.as_str(), b.text.as_str())).collect();
    assert_eq!(short, [(3, "sh", "x\n  y\n"), (7, "", "z\n"), (14, "toml", "a = 1\n")]);
    assert_eq!(found[0].not_run.as_deref(), Some("needs a cluster"));
    assert_eq!((found[1].not_run.as_ref(), found[2].expected_code), (None, Some(3)));
    assert_eq!(
        (&found[0].prints[..], &found[2].prints[..]),
        (&[][..], &["b".to_owned(), "c".to_owned()][..])
    );
}
