//! libpq's `keyword=value` connection strings.
//!
//! Source: `conninfo_parse` of PostgreSQL's `fe-connect.c`.

/// Why a connection string cannot be read. It shows nothing of the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    /// A word without a value.
    #[error("a keyword without = and a value; quote a value with spaces: 'like this'")]
    NoValue,
    /// The closing quote is missing.
    #[error("a quoted value without its closing quote")]
    Unterminated,
}

/// The keywords and values, in their order. A value may be quoted with `'`; `\` escapes one character.
///
/// # Errors
/// See [`KeywordError`].
pub fn keyword_values(text: &str) -> Result<Vec<(String, String)>, KeywordError> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).ok_or(KeywordError::NoValue)?;
        let (keyword, after) = rest.split_at(end);
        let value = after.trim_start().strip_prefix('=').ok_or(KeywordError::NoValue)?;
        let (value, after) = value_of(value.trim_start())?;
        pairs.push((keyword.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// The value that `text` begins with, and what follows.
fn value_of(text: &str) -> Result<(String, &str), KeywordError> {
    let quoted = text.strip_prefix('\'');
    let text = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Ok((value, &text[at + 1..])),
            c if quoted.is_none() && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted.is_some() { Err(KeywordError::Unterminated) } else { Ok((value, "")) }
}

/// The connection string without the values of secrets; without anything if its keywords may be parts of a secret.
pub(super) fn redact(text: &str, redacted: &str, is_secret: impl Fn(&str) -> bool) -> String {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let pairs = keyword_values(text).unwrap_or_default();
    if pairs.is_empty() || !pairs.iter().all(|(keyword, _)| is_name(keyword)) {
        return redacted.to_owned();
    }
    let shown = pairs.into_iter().map(|(keyword, value)| {
        let value = if is_secret(&keyword) { redacted.to_owned() } else { value };
        let plain =
            !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '\'' || c == '\\');
        if plain {
            format!("{keyword}={value}")
        } else {
            format!("{keyword}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_and_values_are_read_as_libpq_reads_them() {
        let read = |text| keyword_values(text).unwrap();
        let pair = |keyword: &str, value: &str| (keyword.to_owned(), value.to_owned());
        assert_eq!(read("  host = a port=5432  "), [pair("host", "a"), pair("port", "5432")]);
        assert_eq!(
            read(r"password='a b\'c\\' user=x\ y"),
            [pair("password", r"a b'c\"), pair("user", "x y")]
        );
        assert_eq!(read("password='' user=u"), [pair("password", ""), pair("user", "u")]);
        assert_eq!(read("options='-c a=b'"), [pair("options", "-c a=b")]);
        assert!(read("").is_empty());
        assert_eq!(keyword_values("host"), Err(KeywordError::NoValue));
        assert_eq!(keyword_values("host a"), Err(KeywordError::NoValue));
        assert_eq!(keyword_values("password='a"), Err(KeywordError::Unterminated));
    }

    #[test]
    fn passwords_are_redacted_however_they_are_quoted() {
        let shown = |text| redact(text, "[redacted]", |keyword| keyword.contains("password"));
        assert_eq!(
            shown(r"host=h password='a b' sslpassword = x options='-c a=b'"),
            "host=h password=[redacted] sslpassword=[redacted] options='-c a=b'"
        );
        assert_eq!(shown("host=h password='a"), "[redacted]");
        assert_eq!(shown("postgresql//u:s3cret@h/d?sslmode=require"), "[redacted]");
    }
}
