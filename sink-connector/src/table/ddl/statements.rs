//! The statements of a DDL file. What no table depends on may be anything that a server understands.

use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::DdlFileError;

/// How statements begin that declare tables and types.
const NEEDED: [&[&str]; 4] =
    [&["CREATE", "TABLE"], &["CREATE", "UNLOGGED"], &["CREATE", "TYPE"], &["CREATE", "DOMAIN"]];

/// How statements begin that may change one of those.
const CHANGES: [&[&str]; 3] = [&["ALTER", "TABLE"], &["ALTER", "TYPE"], &["ALTER", "DOMAIN"]];

/// A statement, and what the parser does not keep of it.
pub(super) enum Parsed {
    Statement {
        statement: Box<Statement>,
        /// CREATE DOMAIN … NOT NULL.
        not_null: bool,
    },
    /// A change of something, which the parser does not know.
    Unread {
        /// The statement, as it begins.
        text: String,
        /// The names in it, as the server stores them.
        names: Vec<String>,
    },
}

/// Parses the statements that declare something. Others, such as functions and grants, are left out if the parser does not
/// know them.
pub(super) fn parse(sql: &str) -> Result<Vec<Parsed>, DdlFileError> {
    // psql's own commands, as pg_dump writes them, are no SQL.
    let sql: Vec<&str> = sql.lines().map(|line| if line.starts_with('\\') { "" } else { line }).collect();
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, &sql.join("\n")).tokenize_with_location();
    let tokens =
        tokens.map_err(|error| DdlFileError::Syntax { line: error.location.line, problem: error.message })?;
    let mut statements = Vec::new();
    for all in tokens.split(|token| token.token == Token::SemiColon) {
        let words: Vec<String> = words(all).take(2).collect();
        let Some(line) = all.iter().find(|token| !is_space(token)).map(|token| token.span.start.line) else {
            continue;
        };
        let (tokens, not_null) =
            if words == ["CREATE", "DOMAIN"] { without_not_null(all) } else { (all.to_vec(), false) };
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let parsed = parser.parse_statement();
        let is_one_of = |kinds: &[&[&str]]| kinds.iter().any(|kind| words == *kind);
        // The parser stops at a word that it does not know.
        let is_whole = parser.peek_token_ref().token == Token::EOF;
        let matters = is_one_of(&NEEDED) || is_one_of(&CHANGES);
        if matters && parsed.is_ok() && !is_whole || is_one_of(&CHANGES) && parsed.is_err() {
            statements.push(unread(line, all));
        }
        match parsed {
            Ok(statement) => {
                statements.push(Parsed::Statement { statement: Box::new(statement), not_null });
            }
            Err(error) if is_one_of(&NEEDED) => {
                return Err(DdlFileError::Syntax { line, problem: message(&error) });
            }
            Err(_) => {}
        }
    }
    Ok(statements)
}

fn unread(line: u64, tokens: &[TokenWithSpan]) -> Parsed {
    /// What is shown of a statement.
    const CHARS: usize = 80;
    let texts: Vec<String> =
        tokens.iter().filter(|token| !is_space(token)).map(|token| token.token.to_string()).collect();
    let text: String = texts.join(" ").replace(" . ", ".").chars().take(CHARS).collect();
    let name = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
        Token::Word(word) => Some(word.value.to_lowercase()),
        _ => None,
    };
    Parsed::Unread { text: format!("line {line}: {text}"), names: tokens.iter().filter_map(name).collect() }
}

/// The tokens of CREATE DOMAIN without NOT NULL, which the parser does not know, and whether it was there.
fn without_not_null(tokens: &[TokenWithSpan]) -> (Vec<TokenWithSpan>, bool) {
    let tokens: Vec<TokenWithSpan> = tokens.iter().filter(|token| !is_space(token)).cloned().collect();
    let is = |token: &TokenWithSpan, text: &str| matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case(text));
    let (mut kept, mut depth, mut found) = (Vec::with_capacity(tokens.len()), 0_u32, false);
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && is(&token, "NOT") && tokens.next_if(|next| is(next, "NULL")).is_some() {
            found = true;
        } else {
            kept.push(token);
        }
    }
    (kept, found)
}

fn words(tokens: &[TokenWithSpan]) -> impl Iterator<Item = String> {
    tokens.iter().filter(|token| !is_space(token)).map_while(|token| match &token.token {
        Token::Word(word) => Some(word.value.to_uppercase()),
        _ => None,
    })
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

fn message(error: &ParserError) -> String {
    match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => "nested too deep".to_owned(),
    }
}
