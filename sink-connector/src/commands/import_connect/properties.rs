//! A file of properties, as `java.util.Properties` reads it.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// The properties of a file. A key without a value is empty; a later one overrides an earlier one.
pub(super) fn parse(text: &str) -> BTreeMap<String, String> {
    logical_lines(text).iter().map(|line| property(line)).collect()
}

/// Lines without comments and blanks; those that end with an odd number of backslashes go on in the next.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        let line = line.trim_start_matches(is_blank);
        if !goes_on && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        let ends_with_one = backslashes % 2 == 1;
        let content = if ends_with_one { &line[..line.len() - 1] } else { line };
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(content),
            None => lines.push(content.to_owned()),
        }
        goes_on = ends_with_one;
    }
    lines
}

/// Key and value. `=`, `:` or blanks stand between them.
fn property(line: &str) -> (String, String) {
    let mut rest = line.chars().peekable();
    let key = unescaped(&mut rest, |c| matches!(c, '=' | ':') || is_blank(c));
    skip_blanks(&mut rest);
    if rest.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut rest);
    }
    (key, unescaped(&mut rest, |_| false))
}

/// What stands before an unescaped character that ends it.
fn unescaped(rest: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    while let Some(c) = rest.next_if(|c| !ends(*c)) {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('u')) => text.push_str(&utf16(rest)),
            ('\\', Some('t')) => text.push('\t'),
            ('\\', Some('n')) => text.push('\n'),
            ('\\', Some('r')) => text.push('\r'),
            ('\\', Some('f')) => text.push('\u{c}'),
            ('\\', escaped) => text.extend(escaped),
            (c, _) => text.push(c),
        }
    }
    text
}

/// The characters of `\uXXXX`, of which the first `\u` is read already; a pair of surrogates is one character.
fn utf16(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut units = vec![unit(rest)];
    loop {
        let mut ahead = rest.clone();
        if (ahead.next(), ahead.next()) != (Some('\\'), Some('u')) {
            return String::from_utf16_lossy(&units);
        }
        *rest = ahead;
        units.push(unit(rest));
    }
}

/// Up to four hexadecimal digits.
fn unit(rest: &mut Peekable<Chars<'_>>) -> u16 {
    let mut unit = 0;
    for _ in 0..4 {
        let Some(digit) = rest.peek().and_then(|c| c.to_digit(16)) else { break };
        rest.next();
        unit = unit << 4 | u16::try_from(digit).unwrap_or_default();
    }
    unit
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| is_blank(*c)).is_some() {}
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text).into_iter().collect()
    }

    #[test]
    fn properties_are_read_as_java_reads_them() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("  a  =  b c ", "a", "b c "),
            ("a:b", "a", "b"),
            ("a b", "a", "b"),
            ("a\tb=c", "a", "b=c"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("a = = b", "a", "= b"),
            ("url=jdbc\\:postgresql\\://h/d?x\\=1", "url", "jdbc:postgresql://h/d?x=1"),
            ("a\\ b\\=c=d", "a b=c", "d"),
            ("transforms=a,\\\n    b,\\\r\n    c", "transforms", "a,b,c"),
            ("a=b\\\\", "a", "b\\"),
            ("a=\\u00f6\\uD83D\\uDE00\\tx\\q", "a", "\u{f6}\u{1f600}\txq"),
            ("# x=y\n! z\n\na=b", "a", "b"),
            ("a=1\na=2", "a", "2"),
            ("regex=prod\\\\.(.*)", "regex", "prod\\.(.*)"),
        ] {
            assert_eq!(parsed(text), [(key.to_owned(), value.to_owned())], "{text:?}");
        }
        assert_eq!(parsed("a=1\r\nb=2\rc=3").len(), 3);
        // A comment that ends with a backslash does not go on.
        assert_eq!(parsed("a=b\\\n\nc=d").len(), 2, "an empty line ends the one before");
        assert_eq!(parsed("# note \\\na=b"), [("a".to_owned(), "b".to_owned())]);
    }
}
