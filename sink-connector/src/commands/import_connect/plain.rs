//! Keys that have one meaning by themselves.

use super::report::Outcome;
use super::translation::{Family, Translation, is_reference};

/// A key and what becomes of it.
enum Rule {
    /// Not needed, whatever its value.
    NotNeeded(&'static str),
    /// Not needed with one of these values; else not supported, with what to do instead.
    Only(&'static [&'static str], &'static str, &'static str),
}

use Rule::{NotNeeded, Only};

const RETRIES: Rule = NotNeeded("the sink retries for as long as the database is unreachable");
const POOL: Rule = NotNeeded("postgres.writers is the number of connections");
const DDL: &str = "`sink-connector infer-ddl` proposes the table from records; sink.ddl_file creates it";
const OWN_TYPES: &str = "the types of the columns decide";

const RULES: &[(&str, Rule)] = &[
    ("connector.client.config.override.policy", NotNeeded("[kafka.properties] may set any property")),
    ("tasks.max", NotNeeded("partitions are shared among instances, and postgres.writers within one")),
    ("config.action.reload", NotNeeded("files with secrets are read again for each connection")),
    ("auto.restart.on.user.error", RETRIES),
    ("initial_state", NotNeeded("it has no effect after the connector was created")),
    ("tasks", NotNeeded("is the state of the connector, not its configuration")),
    ("type", NotNeeded("is the state of the connector, not its configuration")),
    ("connection.attempts", RETRIES),
    ("connection.backoff.ms", RETRIES),
    ("connection.restart.on.errors", RETRIES),
    ("max.retries", RETRIES),
    ("retry.backoff.ms", RETRIES),
    ("flush.max.retries", RETRIES),
    ("flush.retry.delay.ms", RETRIES),
    ("flush.failure.retries", RETRIES),
    ("connection.provider", POOL),
    ("connection.pool.min_size", POOL),
    ("connection.pool.max_size", POOL),
    ("connection.pool.acquire_increment", POOL),
    ("connection.pool.timeout", POOL),
    ("auto.create", Only(&["false"], "tables are never created without DDL", DDL)),
    (
        "auto.evolve",
        Only(
            &["false"],
            "tables are never altered: a record with a field without a column is rejected",
            "ALTER TABLE by yourself: the sink goes on with the new table at once",
        ),
    ),
    ("schema.evolution", Only(&["none"], "tables are never altered", DDL)),
    (
        "dialect.name",
        Only(&["PostgreSqlDatabaseDialect"], "it is PostgreSQL", "this sink writes to PostgreSQL only"),
    ),
    ("table.types", NotNeeded("tables, partitioned tables, views and foreign tables are written")),
    (
        "quote.sql.identifiers",
        Only(
            &["always"],
            "names are always quoted",
            "names are always quoted: name columns as the fields are, or map them in sink.rename",
        ),
    ),
    (
        "quote.identifiers",
        Only(
            &["true"],
            "names are always quoted",
            "names are always quoted: name columns as the fields are, or map them in sink.rename",
        ),
    ),
    ("fields.whitelist", Only(&[], "", "a field without a column is left out: the table decides")),
    ("field.include.list", Only(&[], "", "a field without a column is left out: the table decides")),
    ("field.exclude.list", Only(&[], "", "a field without a column is left out: the table decides")),
    ("column.include.list", Only(&[], "", "a field without a column is left out: the table decides")),
    ("column.exclude.list", Only(&[], "", "a field without a column is left out: the table decides")),
    (
        "db.timezone",
        Only(
            &["UTC", "GMT", "Z"],
            "times without an offset are UTC",
            "write times with an offset into timestamptz columns",
        ),
    ),
    (
        "date.timezone",
        Only(&["UTC", "GMT", "DB_TIMEZONE"], "dates have no zone", "write dates as text: 2026-01-31"),
    ),
    (
        "database.time_zone",
        Only(
            &["UTC", "GMT", "Z"],
            "times without an offset are UTC",
            "write times with an offset into timestamptz columns",
        ),
    ),
    (
        "use.time.zone",
        Only(
            &["UTC", "GMT", "Z"],
            "times without an offset are UTC",
            "write times with an offset into timestamptz columns",
        ),
    ),
    (
        "timestamp.precision.mode",
        Only(&[], "", "says the unit of timestamp.fields.list; here numbers are milliseconds"),
    ),
    (
        "timestamp.fields.list",
        Only(
            &[],
            "",
            "a number in a timestamp column is milliseconds here: write milliseconds, or ISO 8601 text",
        ),
    ),
    ("numeric.mapping", NotNeeded(OWN_TYPES)),
    ("mssql.use.merge.holdlock", NotNeeded("it is for SQL Server")),
    ("dialect.sqlserver.identity.insert", NotNeeded("it is for SQL Server")),
    ("dialect.postgres.postgis.schema", NotNeeded(OWN_TYPES)),
    ("dialect.oracle.timestamp.to_date", NotNeeded("it is for Oracle")),
    ("trim.sensitive.log", NotNeeded("values are never logged")),
    ("sql.quote.identifiers", Only(&["true"], "names are always quoted", "names are always quoted")),
    (
        "truncate.enabled",
        Only(
            &["false"],
            "TRUNCATE of the source becomes a dead letter",
            "TRUNCATE of the source becomes a dead letter",
        ),
    ),
    ("use.reduction.buffer", NotNeeded("records of one key are always merged within a batch")),
    (
        "table.naming.strategy",
        Only(
            &["io.debezium.connector.jdbc.naming.DefaultTableNamingStrategy"],
            "tables are named by sink.table",
            "it is a Java class: set the table of each topic in [topics.\"…\"]",
        ),
    ),
    (
        "collection.naming.strategy",
        Only(
            &["io.debezium.sink.naming.DefaultCollectionNamingStrategy"],
            "tables are named by sink.table",
            "it is a Java class: set the table of each topic in [topics.\"…\"]",
        ),
    ),
    (
        "column.naming.strategy",
        Only(
            &["io.debezium.connector.jdbc.naming.DefaultColumnNamingStrategy"],
            "columns have the names of fields",
            "it is a Java class: map fields in sink.rename",
        ),
    ),
    (
        "replace.null.with.default",
        Only(
            &["false"],
            "an explicit null is written as NULL",
            "an explicit null is written as NULL; leave the field out to get the default",
        ),
    ),
];

pub(super) fn convert(t: &mut Translation) {
    let class = t.get("connector.class");
    if let Some(class) = class {
        match t.family {
            Family::Jdbc | Family::Debezium => {
                t.not_needed("connector.class", "this sink takes its place");
            }
            Family::Other => {
                t.not_supported("connector.class", format!("{class} is not a JDBC sink that is known here"));
            }
        }
    }
    // Confluent Cloud's has the plural.
    if let Some((key, size)) = t.either(&["batch.size", "batch.sizes"]) {
        match size.parse::<i64>() {
            Ok(size @ 1..=1_000_000) => t.take(key, &["batch", "max_rows"], size),
            _ => t.not_supported(key, "batch.max_rows is 1 to 1000000"),
        }
    }
    if t.family == Family::Debezium && !t.input.contains_key("quote.identifiers") {
        t.todo.push(
            "quote.identifiers is not given, so Debezium wrote field orderId to column orderid: here names are quoted, and \
             a column of another case needs a line in [sink.rename]"
                .to_owned(),
        );
    }
    for (key, rule) in RULES {
        let Some(value) = t.input.get(*key).map(|value| value.trim().to_owned()) else { continue };
        match rule {
            NotNeeded(why) => t.report.add(key, Outcome::NotNeeded, *why),
            Only(values, why, _) if values.iter().any(|known| known.eq_ignore_ascii_case(&value)) => {
                t.report.add(key, Outcome::NotNeeded, *why);
            }
            Only(.., instead) => t.report.add(key, Outcome::NotSupported, *instead),
        }
    }
}

/// The keys that are not reported yet.
pub(super) fn rest(t: &mut Translation) {
    let left: Vec<String> = t.input.keys().filter(|key| !t.report.has(key)).cloned().collect();
    for key in left {
        let empty = t.input[&key].trim().is_empty();
        if empty {
            t.not_needed(&key, "is empty");
        } else if is_reference(&t.input[&key]) {
            t.not_supported(&key, "the worker resolves it: put in its value, and translate again");
        } else if key.starts_with("hibernate.") {
            t.not_needed(&key, "it is for a Java library that this sink does not use");
        } else {
            t.not_supported(&key, "is not known here: see docs/reference.md for what the sink has");
        }
    }
}
