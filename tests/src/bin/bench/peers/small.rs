//! Small records for a table without a key, as in a bench that Redpanda Connect publishes: 200 bytes, four columns.

use tests::Record;

/// The table.
pub(crate) const TABLE: &str = "small";
/// Its columns.
pub(crate) const DDL: &str = "CREATE TABLE small (id bigint NOT NULL, created bigint NOT NULL, amount float8 NOT NULL, note text NOT NULL)";
/// Of the topic.
pub(crate) const PARTITIONS: i32 = 16;

const BYTES: usize = 200;

/// Records of 200 bytes, one after the other into each partition.
pub(crate) fn records(count: u64) -> impl Iterator<Item = Record> {
    (0..count).zip((0..PARTITIONS).cycle()).map(|(n, partition)| {
        let amount = n % 100_000;
        let head = format!(
            "{{\"id\":{n},\"created\":{},\"amount\":{}.{:02},\"note\":\"",
            1_700_000_000_000 + n,
            amount / 100,
            amount % 100
        );
        let note = "a note that fills the record, as text does ".chars().cycle();
        let note: String = note.take(BYTES - head.len() - "\"}".len()).collect();
        Record::new(format!("{head}{note}\"}}")).partition(partition)
    })
}
