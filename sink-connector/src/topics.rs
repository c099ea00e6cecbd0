//! The topics that are read: those named, or all whose names match a pattern, whenever they appear.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use crate::pattern::Pattern;
use crate::source::consumer::Consumer;

/// What is subscribed to.
#[derive(Clone, Debug)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// Those that match; the text is the pattern's.
    Matching(Pattern, String),
}

impl Topics {
    /// What librdkafka is to subscribe to. It takes a name from `^` on for a pattern, and looks for new topics itself.
    pub fn subscription(&self) -> Vec<&str> {
        match self {
            Self::Named(names) => names.iter().map(String::as_str).collect(),
            Self::Matching(_, text) => vec![text],
        }
    }

    /// The topics as of now, whether they are ours or another member's.
    ///
    /// # Errors
    /// A text for people: Kafka does not answer, or no topic matches.
    pub fn now(&self, consumer: &Consumer, timeout: Duration) -> Result<Vec<String>, String> {
        let (pattern, text) = match self {
            Self::Named(names) => return Ok(names.clone()),
            Self::Matching(pattern, text) => (pattern, text),
        };
        let metadata = consumer
            .fetch_metadata(None, timeout)
            .map_err(|error| format!("cannot ask Kafka for its topics: {error}"))?;
        let names = metadata
            .topics()
            .iter()
            .filter(|t| !t.partitions().is_empty())
            .map(rdkafka::metadata::MetadataTopic::name);
        let found = pattern.select(names);
        if found.is_empty() {
            return Err(format!("no topic matches topics_regex {text:?}, or this client may not read any"));
        }
        Ok(found.into_iter().map(str::to_owned).collect())
    }
}
