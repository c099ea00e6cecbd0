//! `dead-letters list`: dead letters by reason, with what to do about each.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::output::counted;

use super::ListArgs;
use super::causes::Causes;
use crate::commands::{Output, print_json};
use crate::config::Config;
use crate::postgres::session::Connection;
use crate::rejects::cause::Cause;
use crate::rejects::dead_letters::{DeadLetterGroup, DeadLetters, Filter, StoredDeadLetter};

/// The longest detail, and the longest payload, of one line of text.
pub(super) const DETAIL_CHARS: usize = 200;
const PAYLOAD_CHARS: usize = 1_000;

/// Selected dead letters: all of them counted, some of them shown.
pub(super) struct List {
    groups: Vec<DeadLetterGroup>,
    shown: Vec<StoredDeadLetter>,
}

/// Reads the groups of the selected dead letters, and at most `limit` dead letters.
pub(super) fn read(
    dead_letters: &DeadLetters,
    connection: &mut Connection,
    filter: &Filter,
    limit: usize,
) -> anyhow::Result<List> {
    Ok(List {
        groups: dead_letters.groups(connection, filter)?,
        shown: dead_letters.read(connection, filter, None, limit)?,
    })
}

impl List {
    pub(super) fn print(
        &self,
        config: &Config,
        connection: &mut Connection,
        args: &ListArgs,
    ) -> anyhow::Result<()> {
        let total: i64 = self.groups.iter().map(|group| group.count).sum();
        let mut causes = Causes::new(config)?;
        let hints: Vec<Vec<String>> =
            self.groups.iter().map(|group| self.hints(group, &mut causes, connection)).collect();
        if args.output == Output::Json {
            let groups = self.groups.iter().zip(&hints).map(|(group, hints)| {
                json!({
                    "reason": group.reason,
                    "sqlstate": group.sqlstate,
                    "constraint": group.constraint,
                    "count": group.count,
                    "actions": hints,
                })
            });
            let groups: Vec<Value> = groups.collect();
            let dead_letters: Vec<Value> = self.shown.iter().map(as_json).collect();
            return print_json(&json!({"total": total, "groups": groups, "dead_letters": dead_letters}));
        }
        for (group, hints) in self.groups.iter().zip(&hints) {
            self.print_group(group, hints, args.payload)?;
        }
        match usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(self.shown.len()) {
            0 => shared::outln!("{}", counted(total, "dead letter"))?,
            more => shared::outln!("{}, {more} of them not shown", counted(total, "dead letter"))?,
        }
        Ok(())
    }

    fn print_group(&self, group: &DeadLetterGroup, hints: &[String], payload: bool) -> anyhow::Result<()> {
        let server: Vec<&str> =
            [&group.sqlstate, &group.constraint].into_iter().flatten().map(String::as_str).collect();
        let server = if server.is_empty() { String::new() } else { format!(" ({})", server.join(" ")) };
        shared::outln!("{}{server}: {}", group.reason, group.count)?;
        for hint in hints {
            shared::outln!("  -> {hint}")?;
        }
        for stored in self.shown.iter().filter(|stored| group.has(stored)) {
            shared::outln!(
                "  {} at offset {}, {}: {}",
                stored.partition,
                stored.offset,
                stored.created_at,
                excerpt(&stored.detail, DETAIL_CHARS)
            )?;
            if let (true, Some(bytes)) = (payload, &stored.payload) {
                shared::outln!("    {}", excerpt(&String::from_utf8_lossy(bytes), PAYLOAD_CHARS))?;
            }
        }
        Ok(())
    }

    /// What to do about the shown dead letters of a group, each action once.
    fn hints(
        &self,
        group: &DeadLetterGroup,
        causes: &mut Causes<'_>,
        connection: &mut Connection,
    ) -> Vec<String> {
        let mut widest = BTreeMap::new();
        for stored in self.shown.iter().filter(|stored| group.has(stored)) {
            let Some((cause, wider)) = causes.of(connection, stored) else { continue };
            let seen = widest.entry((stored.partition.topic.to_string(), cause)).or_insert(wider);
            *seen = (*seen).max(wider);
        }
        let hints = widest
            .into_iter()
            .map(|((topic, cause), wider): ((String, Cause), _)| causes.hint(&topic, &cause, wider));
        let mut hints: Vec<String> = hints.collect();
        hints.sort_unstable();
        hints.dedup();
        hints
    }
}

/// The beginning of a text, without control characters.
pub(super) fn excerpt(text: &str, most: usize) -> String {
    let mut shown: String =
        text.chars().take(most).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn as_json(dead_letter: &StoredDeadLetter) -> Value {
    let bytes = |bytes: Option<&Vec<u8>>| match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => {
            json!({"hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()})
        }
    };
    json!({
        "topic": &*dead_letter.partition.topic,
        "partition": dead_letter.partition.partition.0,
        "offset": dead_letter.offset,
        "reason": dead_letter.reason,
        "detail": dead_letter.detail,
        "sqlstate": dead_letter.sqlstate,
        "constraint": dead_letter.constraint,
        "created_at": dead_letter.created_at,
        "timestamp": dead_letter.timestamp,
        "key": bytes(dead_letter.key.as_ref()),
        "payload": bytes(dead_letter.payload.as_ref()),
        "headers": dead_letter.headers,
    })
}
