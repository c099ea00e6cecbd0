//! "Did you mean": the declared key nearest to a mistyped one.

use super::schema::Schema;

/// The candidate nearest to `given` by edit distance, if it is near enough to be a typing mistake.
#[must_use]
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (given.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(given, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The declared path meant by an unknown one: mistyped, or right but in another section.
pub(super) fn path(schema: &Schema, given: &str) -> Option<&'static str> {
    let keys = || schema.keys.iter().map(|key| key.path);
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

/// Levenshtein distance in characters, with a swap of neighbours as one step (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_right() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3), ("é", "e", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_far_word_is_not_suggested() {
        assert_eq!(nearest("max_row", ["max_rows", "linger_ms"]), Some("max_rows"));
        assert_eq!(nearest("colour", ["max_rows", "linger_ms"]), None);
        assert_eq!(nearest("", ["name"]), None);
    }
}
