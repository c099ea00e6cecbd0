//! Chooses the key of a proposed table: from the records' keys, or from fields whose names say that they are one. Pure.

use super::sample_statistics::{Field, SampleStatistics};

/// The key columns of `pk_mode = "kafka"`.
pub(super) const KAFKA: [(&str, &str); 3] =
    [("__connect_topic", "text"), ("__connect_partition", "integer"), ("__connect_offset", "bigint")];

/// Fields that are considered for a key of several columns.
const CANDIDATES: usize = 8;

/// Where the key comes from, by the names of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Fields of the value.
    Value(Vec<String>),
    /// Fields of the record's key, an object.
    RecordKey(Vec<String>),
    /// The record's key as a whole, which equals this field of the value. Tombstones have nothing else.
    EqualRecordKey(String),
    /// The record's key as a whole, which no field of the value repeats.
    WholeRecordKey,
    /// Nothing identifies a row but its place in Kafka.
    Kafka,
}

/// The key, and what is uncertain about it.
pub(super) fn choose(statistics: &SampleStatistics, topic: &str) -> (Choice, Vec<String>) {
    let all = statistics.fields();
    let named = named(statistics, topic);
    let unique = |fields: &[&Field]| statistics.overwritten(fields) == Some(0);
    let single = named.iter().copied().find(|field| unique(&[field]));
    if let Some((choice, overwritten)) = of_record_key(statistics, all) {
        let finer = single.filter(|_| overwritten > 0);
        return match finer {
            Some(field) => (
                Choice::Value(vec![field.name.clone()]),
                vec![
                    format!("key {:?}: records that share the record's key differ in it", field.name),
                    format!(
                        "if a record replaces the earlier ones with its record key ({overwritten} would), use that key"
                    ),
                ],
            ),
            None => {
                let mut doubts = vec![choice.1];
                doubts.extend(repeats(overwritten, statistics));
                (choice.0, doubts)
            }
        };
    }
    if let Some(field) = single {
        let doubt =
            format!("key {:?}: no two records of the sample share it; make sure that none do", field.name);
        return (Choice::Value(vec![field.name.clone()]), vec![doubt]);
    }
    if let Some(fields) = composite(statistics, topic) {
        let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        let doubt = format!("key {names:?}: only together they differ in all records of the sample");
        return (Choice::Value(names), vec![doubt]);
    }
    if let Some(field) = named.iter().find(|field| is_own(&field.name, topic)) {
        let mut doubts = vec![format!("key {:?}: by its name", field.name)];
        doubts.extend(repeats(statistics.overwritten(&[field]).unwrap_or_default(), statistics));
        return (Choice::Value(vec![field.name.clone()]), doubts);
    }
    let mut doubts = vec![
        "no field is known to identify a row, so every record becomes one, by its topic, partition and offset".to_owned(),
    ];
    doubts.extend(named.first().map(|field| {
        format!(
            "{:?} looks like a key, but records that share it differ: with PRIMARY KEY ({:?}) and pk_mode = \
             \"record_value\" only the last of them would be kept",
            field.name, field.name
        )
    }));
    (Choice::Kafka, doubts)
}

fn repeats(overwritten: u64, statistics: &SampleStatistics) -> Option<String> {
    (overwritten > 0).then(|| {
        format!(
            "{overwritten} of {} records overwrite an earlier one with the same key; if each is to be a row, use \
             pk_mode = \"kafka\"",
            statistics.objects
        )
    })
}

/// The key from the records' keys with its reason, and how many records it overwrites.
fn of_record_key(statistics: &SampleStatistics, all: &[Field]) -> Option<((Choice, String), u64)> {
    let keys = &statistics.keys;
    if keys.present < statistics.objects || keys.present == 0 {
        return None;
    }
    let overwritten = statistics.overwritten_by_record_key()?;
    if keys.objects == keys.present {
        let whole = keys.fields.iter().all(|field| field.valued() == keys.objects && field.nested == 0);
        let names: Vec<String> = keys.fields.iter().map(|field| field.name.clone()).collect();
        let why = format!("key {names:?}: the fields of the record's key");
        return (whole && !names.is_empty()).then_some(((Choice::RecordKey(names), why), overwritten));
    }
    let equal =
        |field: &&Field| field.equals_key == statistics.objects && statistics.overwritten(&[field]).is_some();
    let mut fields = all.iter().filter(equal);
    let first = fields.clone().find(|field| names_a_key(&field.name)).or_else(|| fields.next());
    if let Some(field) = first {
        let why = format!("key {:?}: it equals the record's key in every record", field.name);
        let name = field.name.clone();
        let choice = if statistics.tombstones > 0 && keys.whole.valued() == keys.present {
            Choice::EqualRecordKey(name)
        } else {
            Choice::Value(vec![name])
        };
        return Some(((choice, why), overwritten));
    }
    let whole = &keys.whole;
    let scalars = keys.objects == 0 && whole.valued() == keys.present && whole.nested == 0;
    let why = "the record's key is stored in a column of its own: no field has it".to_owned();
    scalars.then_some(((Choice::WholeRecordKey, why), overwritten))
}

/// Fields that every record has and whose names say that they are keys, those of the topic's own records first.
fn named<'a>(statistics: &'a SampleStatistics, topic: &str) -> Vec<&'a Field> {
    let mut named: Vec<&Field> =
        candidates(statistics).filter(|field| names_a_key(&field.name)).take(CANDIDATES).collect();
    named.sort_by_key(|field| !is_own(&field.name, topic));
    named
}

/// Fields that have a value which can be part of a key in every record.
fn candidates(statistics: &SampleStatistics) -> impl Iterator<Item = &Field> {
    statistics.fields().iter().filter(|field| {
        field.nested == 0
            && field.arrays == 0
            && field.fractions == 0
            && field.booleans == 0
            && statistics.overwritten(&[field]).is_some()
    })
}

/// The fewest fields that differ in all records together: at least one that names a key, others that number its parts.
fn composite<'a>(statistics: &'a SampleStatistics, topic: &str) -> Option<Vec<&'a Field>> {
    let mut fields = named(statistics, topic);
    fields.extend(candidates(statistics).filter(|field| numbers_a_part(&field.name)).take(CANDIDATES));
    let unique = |fields: &[&Field]| statistics.overwritten(fields) == Some(0);
    let all = || (0..fields.len()).flat_map(|a| (a + 1..fields.len()).map(move |b| (a, b)));
    let pairs = all().map(|(a, b)| vec![fields[a], fields[b]]);
    let triples = all().flat_map(|(a, b)| (b + 1..fields.len()).map(move |c| (a, b, c)));
    let triples = triples.map(|(a, b, c)| vec![fields[a], fields[b], fields[c]]);
    pairs.chain(triples).find(|set| names_a_key(&set[0].name) && unique(set))
}

/// Whether a name says that its field is a key: `id`, `order_id`, `orderId`, `uuid`, …
pub(in crate::commands) fn names_a_key(name: &str) -> bool {
    let words = words(name);
    let last = words.last().map(String::as_str);
    last.is_some_and(|word| ["id", "uuid", "guid", "ulid"].contains(&word)) || words == ["key"]
}

/// Whether a name says that its field numbers the parts of something: `line_no`, `seq`, …
fn numbers_a_part(name: &str) -> bool {
    let parts = ["no", "nr", "num", "number", "seq", "sequence", "line", "index", "position", "item"];
    words(name).last().is_some_and(|word| parts.contains(&word.as_str()))
}

/// Whether a name is that of the key of the topic's records: `id`, or `order_id` in the topic `shop.orders`.
pub(in crate::commands) fn is_own(name: &str, topic: &str) -> bool {
    let mut words = words(name);
    words.pop();
    let versions = |part: &&str| part.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
    let entity = topic.split('.').rfind(|part| !versions(part)).unwrap_or_default();
    let entity = self::words(entity).join("_");
    let of = words.join("_");
    let plurals =
        [of.clone(), format!("{of}s"), format!("{of}es"), format!("{}ies", of.trim_end_matches('y'))];
    of.is_empty() || plurals.contains(&entity)
}

/// The words of a name in snake_case, kebab-case or camelCase, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && before_lower {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("one from the start").extend(c.to_lowercase());
        }
        before_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whether_it_is_a_key() {
        for name in
            ["id", "ID", "_id", "match_id", "orderId", "orderID", "order-id", "uuid", "event_uuid", "key"]
        {
            assert!(names_a_key(name), "{name}");
        }
        for name in ["total_price", "paid", "valid", "grid", "idle", "n", "api_key", "identity", ""] {
            assert!(!names_a_key(name), "{name}");
        }
        assert!(is_own("order_id", "shop.orders.v2") && is_own("id", "x") && is_own("boxId", "boxes"));
        assert!(!is_own("user_id", "user_events") && !is_own("customer_id", "orders"));
    }
}
