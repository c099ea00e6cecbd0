//! The librdkafka properties that the sink owns: its guarantees rest on their values.

/// A property that `[kafka.properties]` may not set, and what to do instead.
pub(super) struct Owned {
    pub property: &'static str,
    pub instead: &'static str,
}

/// What the sink owns.
pub(super) const OWNED: &[Owned] = &[
    Owned { property: "bootstrap.servers", instead: "set kafka.bootstrap_servers" },
    Owned { property: "metadata.broker.list", instead: "set kafka.bootstrap_servers" },
    Owned { property: "group.id", instead: "set kafka.group_id" },
    Owned { property: "auto.offset.reset", instead: "set kafka.auto_offset_reset" },
    Owned { property: "enable.auto.commit", instead: COMMITS },
    Owned { property: "auto.commit.enable", instead: COMMITS },
    Owned { property: "auto.commit.interval.ms", instead: COMMITS },
    Owned { property: "enable.auto.offset.store", instead: COMMITS },
    Owned { property: "offset.store.method", instead: COMMITS },
    Owned { property: "offset.store.path", instead: COMMITS },
    Owned { property: "offset.store.sync.interval.ms", instead: COMMITS },
    Owned { property: "isolation.level", instead: "aborted records are never read: it is read_committed" },
    Owned {
        property: "partition.assignment.strategy",
        instead: "partitions move one by one: it is cooperative-sticky",
    },
    Owned { property: "group.protocol", instead: "the sink speaks the classic protocol" },
    Owned { property: "group.remote.assignor", instead: "the sink speaks the classic protocol" },
    Owned { property: "group.protocol.type", instead: "the sink speaks the classic protocol" },
    Owned { property: "enable.partition.eof", instead: "--until-end and --idle-timeout depend on it" },
    Owned { property: "topic.blacklist", instead: "set kafka.topics" },
];

const COMMITS: &str = "positions are stored in PostgreSQL and committed to Kafka after that";

/// Why a property is refused, if it is.
pub(super) fn owned(property: &str) -> Option<&'static str> {
    OWNED.iter().find(|owned| owned.property == property).map(|owned| owned.instead)
}
