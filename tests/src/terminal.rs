//! What a terminal shows, as a picture.

use std::fmt::Write as _;

/// The size of a character cell and of the text in it, in pixels.
const CELL: (f64, f64) = (7.83, 18.0);
const FONT_SIZE: f64 = 13.0;
const MARGIN: f64 = 16.0;
/// Longer lines end outside of the picture.
const COLUMNS: usize = 132;

/// A line, of which a part may be bold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    text: String,
    bold: bool,
}

/// The picture of what a program has written to a terminal, as SVG. Of its escape sequences only bold text is kept, and of a line
/// that was written over what was written last.
#[must_use]
pub fn svg(output: &str) -> String {
    let lines = lines(output);
    let columns = lines.iter().map(|line| line.text.chars().count()).max().unwrap_or(0).min(COLUMNS);
    let width = (columns as f64 * CELL.0 + 2.0 * MARGIN).ceil();
    let height = (lines.len() as f64 * CELL.1 + 2.0 * MARGIN).ceil();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"The output of make demo\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#14181d\"/>\n\
         <g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"{FONT_SIZE}\" fill=\"#e8ecf1\">\n"
    );
    for (number, Line { text, bold }) in lines.iter().enumerate().filter(|(_, line)| !line.text.is_empty()) {
        let y = MARGIN + (number as f64 + 0.75) * CELL.1;
        let weight = if *bold { " font-weight=\"bold\"" } else { "" };
        let text: String = text.chars().take(COLUMNS).collect();
        // The width of a font that the reader does not have may be another.
        let length = text.chars().count() as f64 * CELL.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y:.1}\" textLength=\"{length:.1}\"{weight}>{}</text>",
            escaped(&text)
        );
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// As text of an SVG, in which columns stay aligned: of several spaces, browsers show one.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(' ', "\u{a0}")
}

fn lines(output: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = output.lines().map(line).collect();
    while lines.last().is_some_and(|line| line.text.is_empty()) {
        lines.pop();
    }
    let first = lines.iter().position(|line| !line.text.is_empty()).unwrap_or(0);
    lines.drain(..first);
    lines
}

fn line(written: &str) -> Line {
    let mut line = Line::default();
    let last = written.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut rest = last;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        line.text.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
        line.bold |= &after[..end] == "[1m";
        if after[..end].ends_with('K') {
            line.text.clear();
        }
        rest = &after[end..];
    }
    line.text.push_str(rest);
    line.text.truncate(line.text.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bold_lines_stay_and_what_was_written_over_goes() {
        let output = "\r\n\u{1b}[1mRows\u{1b}[0m\r\n 1%\r 50%\r\u{1b}[2Kdone <1>\r\n\r\n";
        let expected =
            [Line { text: "Rows".to_owned(), bold: true }, Line { text: "done <1>".to_owned(), bold: false }];
        assert_eq!(lines(output), expected);
        let svg = svg(output);
        assert!(
            svg.contains("font-weight=\"bold\">Rows</text>") && svg.contains(">done\u{a0}&lt;1&gt;</text>"),
            "{svg}"
        );
    }
}
