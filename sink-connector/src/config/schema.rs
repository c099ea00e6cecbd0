//! Every key of the sink's configuration: kind, bounds, default, unit and help, once.

use shared::settings::{Key, Schema};

/// The table that the bundled configuration writes; three defaults hold only for it.
pub(super) const DEFAULT_TABLE: &str = "ipl_livescores";
/// Its key.
pub(super) const DEFAULT_PK_FIELD: &str = "match_id";
/// The key columns of `pk_mode = "kafka"`, as kafka-connect-jdbc names them.
pub(super) const DEFAULT_KAFKA_PK_FIELDS: [&str; 3] =
    ["__connect_topic", "__connect_partition", "__connect_offset"];
/// Its DDL, of which a copy is inside the binary.
pub(super) const DEFAULT_DDL_FILE: &str = "config/ipl_livescores.sql";
/// What is read when neither `kafka.topics` nor `kafka.topics_regex` is given.
pub(super) const DEFAULT_TOPIC: &str = "livescores_topic";

const HOUR_MS: i64 = 3_600_000;

/// The sink's keys.
pub static SCHEMA: Schema = Schema {
    prefix: "SINK",
    keys: &[
        Key::text(
            "name",
            "Key of the offset rows and label `connector` on metrics. Another name starts from its own positions. \
             At most 52 characters of ASCII.",
        )
        .or("ipl-livescores"),
        Key::integer("shutdown_timeout_ms", 100, HOUR_MS, "ms", "SIGTERM to exit, at most.").or_integer(25_000),
        // --- kafka
        Key::text("kafka.bootstrap_servers", "Brokers to start from: `host:port`, comma-separated.")
            .or("localhost:9092"),
        Key::list("kafka.topics", "The topics to read.").depends("`[\"livescores_topic\"]`, without `topics_regex`"),
        Key::text("kafka.topics_regex", "A regular expression, from `^`, that topics to read match, instead of `topics`."),
        Key::text("kafka.group_id", "The consumer group.").or("ipl_consumer_group"),
        Key::choice(
            "kafka.auto_offset_reset",
            &["earliest", "latest", "error"],
            "Where a partition begins that has neither a stored position nor a group offset.",
        )
        .or("earliest"),
        Key::properties(
            "kafka.properties",
            "Any librdkafka property that the sink does not own. `\"sasl.password_file\"` reads `sasl.password` from \
             a file; so does any name with `_file` at its end.",
        ),
        // --- postgres
        Key::text(
            "postgres.url",
            "libpq URL: hosts, sslmode, sslrootcert, target_session_attrs, options.",
        )
        .or("postgresql://postgres@localhost:5432/postgres"),
        Key::text("postgres.password_file", "File with the password; its last line ending is left out."),
        Key::integer("postgres.writers", 1, 64, "connections", "Writing connections; the pool is one larger.")
            .or_integer(2),
        Key::integer(
            "postgres.deadline_ms",
            100,
            HOUR_MS,
            "ms",
            "Longest time of one transaction; past it the writer is replaced.",
        )
        .or_integer(60_000),
        // --- sink
        Key::text("sink.table", "The target table, schema-qualified or not; `${topic}` is replaced.")
            .or(DEFAULT_TABLE),
        Key::choice(
            "sink.insert_mode",
            &["insert", "insert_ignore", "upsert"],
            "What happens to a record whose key the table holds: rejected, skipped, or the later wins field by field.",
        )
        .or("upsert"),
        Key::choice(
            "sink.pk_mode",
            &["none", "record_value", "record_key", "kafka"],
            "Where the key comes from: nowhere, fields of the value, the record's key (an object with the fields of \
             pk_fields; for one field also a JSON scalar or bare text), or topic, partition and offset.",
        )
        .or("record_value"),
        Key::list("sink.pk_fields", "The columns of the key, which need a unique index.")
            .depends(
                "`[\"match_id\"]` for the table `ipl_livescores`; with `pk_mode = \"kafka\"` \
                 `[\"__connect_topic\", \"__connect_partition\", \"__connect_offset\"]`; else none",
            ),
        Key::boolean(
            "sink.delete_enabled",
            "A tombstone deletes by key; needs `pk_mode = \"record_key\"`, or `record_value` with Debezium's deletions. One whose key is not there is skipped \
             (`absent`); without it all are skipped (`tombstone`).",
        )
        .or_boolean(false),
        Key::boolean(
            "sink.allow_unlogged",
            "Write an UNLOGGED table. A crash of the server empties it, but not the positions: what it held is not \
             read again. Without it the table is refused.",
        )
        .or_boolean(false),
        Key::text(
            "sink.ddl_file",
            "SQL that runs once when the table is missing; without it the table must exist.",
        )
        .depends("`config/ipl_livescores.sql` for the table `ipl_livescores`, else none"),
        Key::choice("sink.unknown_fields", &["ignore", "reject"], "A field without a column.").or("ignore"),
        Key::boolean("sink.unwrap_single_element_arrays", "`[\"Wankhede\"]` goes into a scalar column as its element.")
            .or_boolean(true),
        Key::choice(
            "sink.null_bytes",
            &["reject", "strip", "replace"],
            "U+0000 in text, which PostgreSQL cannot store: the record is rejected, or it is left out, or becomes U+FFFD.",
        )
        .or("reject"),
        Key::choice(
            "sink.value_format",
            &["json", "json_schema", "debezium"],
            "Plain JSON, Connect's `{\"schema\", \"payload\"}` envelope, or Debezium's change events.",
        )
        .or("json"),
        Key::text(
            "sink.version_field",
            "Upsert unless the stored row's value of this field is newer: an older record is skipped (`stale`), of \
             equal ones the later wins, a record without it is rejected, a tombstone deletes whatever the version.",
        ),
        Key::map("sink.rename", &[], "`field = \"column\"`: stored under another name."),
        Key::map(
            "sink.metadata",
            &["topic", "partition", "offset", "timestamp", "key", "headers"],
            "`offset = \"column\"`: a column for something that is not in the value; a field of the column's name is \
             then not read. topic: text; partition: int4 or int8; offset: int8; timestamp: timestamptz, timestamp or \
             int8 (milliseconds since 1970); key: text or bytea; headers: json or jsonb.",
        ),
        Key::tables(
            "topics",
            "sink",
            "Any key of `[sink]` for one topic: `[topics.\"other_topic\"]`. Lists and maps replace those of `[sink]`.",
        ),
        // --- batch
        Key::integer("batch.max_rows", 1, 1_000_000, "records", "Records of one transaction, at most.")
            .or_integer(5000),
        Key::integer("batch.max_bytes", 1, 1 << 30, "bytes", "Payload of one transaction, about, at most.")
            .or_integer(4_194_304),
        Key::integer("batch.linger_ms", 0, 60_000, "ms", "How long a batch that is not full waits for more.")
            .or_integer(50),
        // --- offsets
        Key::text("offsets.table", "Table of the positions; it is made when missing.").or("sink_offsets"),
        // --- errors
        Key::choice(
            "errors.tolerance",
            &["all", "none"],
            "What a rejected record does: a dead letter and on, or stop before it.",
        )
        .or("all"),
        Key::choice(
            "errors.dead_letters",
            &["table", "topic"],
            "Where dead letters go: a table, in the same transaction, or a Kafka topic, at least once.",
        )
        .or("table"),
        Key::text("errors.dead_letter_table", "The table of dead letters; it is made when missing.")
            .or("sink_dead_letters"),
        Key::text("errors.dead_letter_topic", "The topic of dead letters, with `dead_letters = \"topic\"`."),
        Key::float(
            "errors.breaker_ratio",
            0.0,
            1.0,
            "A larger share of rejected records in a full window pauses the topic; 1 never does.",
        )
        .or_float(0.5),
        Key::integer("errors.breaker_window_records", 1, 1_000_000, "records", "The breaker's window.")
            .or_integer(1000),
        Key::integer("errors.breaker_retry_ms", 100, HOUR_MS, "ms", "How often an open breaker tries again.")
            .or_integer(30_000),
        // --- http, log
        Key::text("http.listen", "Address of `/metrics`, `/livez`, `/readyz` and `/status`: `host:port`.")
            .or("0.0.0.0:9464"),
        Key::choice("log.format", &["text", "json"], "How log lines look, on standard error.").or("text"),
    ],
};
