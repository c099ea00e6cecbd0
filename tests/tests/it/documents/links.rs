//! Links between pages: to files that are there, and to headings of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use tests::paths;

/// The links of a page that lead nowhere. Links to other hosts are not followed.
pub(super) fn broken(page: &Path, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for (target, line) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let path =
            if file.is_empty() { page.to_owned() } else { normal(&page.with_file_name("").join(file)) };
        let full = paths::workspace("").join(&path);
        if !full.exists() {
            broken.push(format!("{}:{line}: there is no {}", page.display(), path.display()));
        } else if !anchor.is_empty() && full.is_file() {
            let headings = anchors(&fs::read_to_string(&full).unwrap());
            if !headings.iter().any(|heading| heading == anchor) {
                broken.push(format!(
                    "{}:{line}: {} has no heading #{anchor}",
                    page.display(),
                    path.display()
                ));
            }
        }
    }
    broken
}

/// The targets of `[text](target)` outside of blocks and code, with their lines.
fn links(text: &str) -> Vec<(String, usize)> {
    let mut links = Vec::new();
    for (line, number) in prose(text) {
        // Every second part is code.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, tail)) = after.split_once(')') else { break };
            links.push((target.split(' ').next().unwrap_or_default().to_owned(), number));
            rest = tail;
        }
    }
    links
}

/// The lines outside of fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut inside = false;
    text.lines().zip(1..).filter(move |(line, _)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// The anchors of a page's headings, as GitHub and mdbook make them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).filter_map(|(line, _)| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len()).then(|| heading.trim().to_lowercase())
    });
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let mut anchors = Vec::new();
    for heading in headings {
        let anchor = heading.chars().filter(|c| kept(*c)).collect::<String>().replace(' ', "-");
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 { anchor.clone() } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn anchors_are_those_of_the_hosts() {
    let page = "# A `key`: what's new?\n## Twice\n## Twice\n```sh\n# no heading\n```\n";
    assert_eq!(anchors(page), ["a-key-whats-new", "twice", "twice-1"]);
    let found = links("[a](b.md#c) `[x](y)` and [d](<e> \"t\")\n```\n[no](no)\n```");
    assert_eq!(found.iter().map(|(target, _)| target.as_str()).collect::<Vec<_>>(), ["b.md#c", "<e>"]);
}
