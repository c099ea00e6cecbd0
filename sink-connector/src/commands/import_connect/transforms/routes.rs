//! Routers rename topics, and so tables: each from the name that those before it gave.

use std::collections::BTreeMap;

use regex::Regex;

use super::{Transform, own_keys, reject};
use crate::commands::import_connect::translation::Translation;

/// The names of the topics after the routers so far.
pub(super) struct Routes {
    pub names: BTreeMap<String, String>,
}

impl Routes {
    pub(super) fn new(t: &Translation) -> Self {
        let topics = t.texts(&["kafka", "topics"]);
        Self { names: topics.into_iter().map(|topic| (topic.clone(), topic)).collect() }
    }

    /// Whether a topic has another name now.
    pub(super) fn have_renamed(&self) -> bool {
        self.names.iter().any(|(topic, name)| topic != name)
    }

    pub(super) fn route(&mut self, t: &mut Translation, transform: &Transform, class: &str) {
        let [regex, replacement] = match class {
            "RegexRouter" => ["regex", "replacement"],
            _ => ["topic.regex", "topic.replacement"],
        };
        let Some((pattern, with)) = transform.get(t, regex).zip(transform.get(t, replacement)) else {
            return reject(t, transform, "regex and replacement are both needed");
        };
        // Java replaces only if the whole name matches.
        let Ok(pattern) = Regex::new(&format!("^(?:{pattern})$")) else {
            return reject(
                t,
                transform,
                "the regular expression is only known to Java: set the table of each topic in [topics.\"…\"]",
            );
        };
        if t.value(&["kafka", "topics_regex"]).is_some() {
            return reject(
                t,
                transform,
                "with topics_regex a table has the name of its topic: set the others in [topics.\"…\"]",
            );
        }
        let with = Regex::new(r"\$(\d)")
            .map_or_else(|_| with.clone(), |group| group.replace_all(&with, "$${$1}").into_owned());
        let mut routes = Vec::new();
        for (topic, name) in &mut self.names {
            *name = pattern.replace(name, with.as_str()).into_owned();
            routes.push(format!("{topic} to {name}"));
        }
        for key in own_keys(t, transform) {
            let known =
                [transform.key("type"), transform.key(regex), transform.key(replacement)].contains(&key);
            if known {
                t.taken(&key, format!("the tables of topics, in [topics.\"…\"]: {}", routes.join(", ")));
            } else {
                t.not_supported(&key, "the keys of records are not changed");
            }
        }
    }
}
