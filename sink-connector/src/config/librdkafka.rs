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
    Owned { property: "group.protocol.type", instead: "it is consumer" },
    Owned { property: "enable.partition.eof", instead: "--until-end and --idle-timeout depend on it" },
    Owned { property: "topic.blacklist", instead: "set kafka.topics" },
];

const COMMITS: &str = "positions are stored in PostgreSQL and committed to Kafka after that";

/// Properties of the classic group protocol, and what takes their place with `group.protocol=consumer` (KIP-848).
const CLASSIC_ONLY: &[(&str, &str)] = &[
    ("session.timeout.ms", "group.consumer.session.timeout.ms"),
    ("heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"),
];

/// Whether `properties` choose the consumer protocol of KIP-848. librdkafka compares without case.
pub(crate) fn consumer_protocol<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
    let mut properties = properties.into_iter();
    properties
        .any(|(name, value)| name == "group.protocol" && value.trim_start().eq_ignore_ascii_case("consumer"))
}

/// Why a property does not go with the group protocol, if it does not.
pub(super) fn of_other_protocol(property: &str, consumer_protocol: bool) -> Option<String> {
    if !consumer_protocol {
        let assignor = property == "group.remote.assignor";
        return assignor.then(|| "needs \"group.protocol\" = \"consumer\"".to_owned());
    }
    let (_, instead) = CLASSIC_ONLY.iter().find(|(classic, _)| *classic == property)?;
    Some(format!("has no effect with group.protocol=consumer: set {instead} on the brokers or on the group"))
}

/// Why a property is refused, if it is.
pub(crate) fn owned(property: &str) -> Option<&'static str> {
    OWNED.iter().find(|owned| owned.property == property).map(|owned| owned.instead)
}
