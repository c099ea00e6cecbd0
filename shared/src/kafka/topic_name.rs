//! Which names Kafka allows for topics.

/// Kafka's own limit.
const MAX_CHARS: usize = 249;

/// Whether a topic may have this name.
#[must_use]
pub fn is_topic(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= MAX_CHARS && name != "." && name != ".." && name.chars().all(allowed)
}

/// Why a topic cannot have this name, for people.
#[must_use]
pub fn not_a_topic(name: &str) -> String {
    format!("{name:?} cannot be a topic: letters, digits, `.`, `_` and `-`, at most {MAX_CHARS}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kafka_allows() {
        for name in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(is_topic(name), "{name}");
        }
        for name in ["", ".", "..", "live scores", "a/b", "a:b", "ü", &"x".repeat(250)] {
            assert!(!is_topic(name), "{name}");
        }
    }
}
