//! What Kafka knows of a consumer group: its committed offsets, and what Kafka's own tool says of them.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::{Kafka, REQUEST_DEADLINE, install};
use crate::wait;

/// A committed group offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The partition.
    pub partition: i32,
    /// The committed offset; absent when the group never committed there.
    pub offset: Option<i64>,
    /// What the committer stored beside it.
    pub metadata: String,
}

/// One line of `kafka-consumer-groups --describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset; absent where the tool prints a dash.
    pub current_offset: Option<i64>,
    /// The end of the partition.
    pub end_offset: Option<i64>,
    /// Their difference.
    pub lag: Option<i64>,
}

impl Kafka {
    /// The group's committed offset in every partition of `topic`.
    ///
    /// # Panics
    /// When the broker does not answer.
    #[track_caller]
    pub fn group_offsets(&self, group: &str, topic: &str) -> Vec<GroupOffset> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, self.partitions(topic) - 1);
        let client: BaseConsumer = self.client().set("group.id", group).create().expect("a client");
        // Just after a broker's start its group coordinator is still loading.
        let committed = wait::until_ok(REQUEST_DEADLINE, "the group's offsets", || {
            client.committed_offsets(list.clone(), REQUEST_DEADLINE)
        });
        let offset_of = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        committed
            .elements()
            .iter()
            .map(|element| GroupOffset {
                partition: element.partition(),
                offset: offset_of(element.offset()),
                metadata: element.metadata().to_owned(),
            })
            .collect()
    }

    /// Commits an offset for the group as any other consumer of it would have done; the group must have no members.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn commit_group_offset(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let client: BaseConsumer = self.client().set("group.id", group).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        wait::until_ok(REQUEST_DEADLINE, "a commit of the group", || client.commit(&list, CommitMode::Sync));
    }

    /// What `kafka-consumer-groups --describe` prints for the group, parsed; a second or two of JVM start.
    ///
    /// # Panics
    /// When the tool fails.
    #[track_caller]
    pub fn consumer_groups_describe(&self, group: &str) -> Vec<DescribedOffset> {
        parse(&describe(&self.bootstrap(), group).expect("kafka-consumer-groups"))
    }
}

/// The output of Kafka's own consumer-group tool, as it prints it.
///
/// # Errors
/// The tool failed.
pub fn describe(bootstrap: &str, group: &str) -> anyhow::Result<String> {
    install::tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &["--bootstrap-server", bootstrap, "--describe", "--group", group],
    )
}

fn parse(text: &str) -> Vec<DescribedOffset> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(header) = lines.find(|line| line.first() == Some(&"GROUP")) else { return Vec::new() };
    let column = |name: &str| header.iter().position(|title| *title == name).expect("a known column");
    let (topic, partition) = (column("TOPIC"), column("PARTITION"));
    let (current, end, lag) = (column("CURRENT-OFFSET"), column("LOG-END-OFFSET"), column("LAG"));
    lines
        .filter(|fields| fields.len() > lag)
        .map(|fields| DescribedOffset {
            topic: fields[topic].to_owned(),
            partition: fields[partition].parse().expect("a partition"),
            current_offset: fields[current].parse().ok(),
            end_offset: fields[end].parse().ok(),
            lag: fields[lag].parse().ok(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_dash_is_no_offset() {
        let text = "\nConsumer group 'g' has no active members.\n\n\
            GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID\n\
            g scores 0 40 42 2 - - -\n\
            g scores 1 - 7 - - - -\n";
        let rows = parse(text);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].current_offset, rows[0].end_offset, rows[0].lag), (Some(40), Some(42), Some(2)));
        assert_eq!((rows[1].partition, rows[1].current_offset, rows[1].lag), (1, None, None));
    }
}
