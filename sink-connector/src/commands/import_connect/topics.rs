//! `topics`, `topics.regex`.

use shared::kafka::is_topic;
use toml::Value;

use super::translation::{Translation, list};
use crate::config::pattern::Pattern;

pub(super) fn convert(t: &mut Translation) {
    if let Some(topics) = t.get("topics") {
        let (good, bad): (Vec<String>, Vec<String>) =
            list(&topics).into_iter().partition(|topic| is_topic(topic));
        if !bad.is_empty() {
            t.not_supported("topics", format!("{} cannot be topics", bad.join(", ")));
        }
        if !good.is_empty() {
            t.take("topics", &["kafka", "topics"], good.into_iter().map(Value::from).collect::<Vec<_>>());
        }
    }
    if let Some(regex) = t.get("topics.regex") {
        pattern(t, &regex);
    }
    if t.value(&["kafka", "topics"]).is_none() && t.value(&["kafka", "topics_regex"]).is_none() {
        t.set(&["kafka", "topics"], vec![Value::from("TOPIC")]);
        t.not_supported("topics", "which topics? kafka.topics = [\"TOPIC\"] stands there");
    }
}

fn pattern(t: &mut Translation, regex: &str) {
    const KEY: &str = "topics.regex";
    let anchored = format!("^({})$", regex.trim_start_matches('^').trim_end_matches('$'));
    let java = regex.contains("(?") || regex.contains('\\') && regex.replace("\\.", "").contains('\\');
    if t.value(&["kafka", "topics"]).is_some() {
        t.not_supported(KEY, "topics is given as well; leave one of them out");
    } else if java || Pattern::new(&anchored).is_err() {
        t.not_supported(KEY, "is not a POSIX extended regular expression: write kafka.topics_regex yourself");
    } else {
        t.take(KEY, &["kafka", "topics_regex"], anchored);
    }
}
