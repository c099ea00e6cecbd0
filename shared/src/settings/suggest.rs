//! Suggestions for mistyped keys.

use super::schema::Schema;

/// The candidate with the smallest edit distance to `given`, if it is near enough for a typing error.
#[must_use]
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (given.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(given, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The declared path for an unknown one: mistyped, or in another section.
pub(super) fn path<'a>(schema: &'a Schema, given: &str) -> Option<&'a str> {
    let keys = || schema.keys.iter().map(|key| key.path.as_str());
    let sections = keys().flat_map(|path| path.match_indices('.').map(|(dot, _)| &path[..dot]));
    let paths = keys().chain(sections).collect::<Vec<_>>();
    let paths = || paths.iter().copied();
    let siblings = paths().filter(|path| parent(path) == parent(given)).map(leaf);
    let sibling = nearest(leaf(given), siblings)
        .and_then(|found| paths().find(|path| parent(path) == parent(given) && leaf(path) == found));
    sibling.or_else(|| nearest(given, paths())).or_else(|| paths().find(|path| leaf(path) == leaf(given)))
}

fn leaf(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_word_is_not_suggested() {
        assert_eq!(nearest("max_row", ["max_rows", "linger_ms"]), Some("max_rows"));
        assert_eq!(nearest("mxa_rows", ["max_rows", "linger_ms"]), Some("max_rows"));
        assert_eq!(nearest("colour", ["max_rows", "linger_ms"]), None);
        assert_eq!(nearest("", ["name"]), None);
    }
}
