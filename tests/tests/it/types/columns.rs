//! The types that the differential test writes, and what makes values for them.

/// A type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColumnType {
    /// As SQL writes it.
    pub(crate) sql: &'static str,
    /// What its values look like.
    pub(crate) family: Family,
    /// The server may refuse what our encoder takes: a domain's CHECK, or a type that only the server reads.
    pub(crate) left_to_server: bool,
}

/// Types whose values look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Bool,
    Integer,
    Float,
    Numeric,
    Text,
    Name,
    Uuid,
    Json,
    Bytea,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Inet,
    Cidr,
    Enum,
    /// Any other type: its input function reads the value's text.
    Input,
    Composite,
}

impl ColumnType {
    /// The type of the elements of an array type.
    pub(crate) fn element(&self) -> Option<ColumnType> {
        let sql = match self.sql {
            "ints" => "integer", // a domain over an array
            sql => sql.strip_suffix("[]")?,
        };
        Some(ColumnType { sql, ..*self })
    }
}

/// What the tables need before they can be made.
pub(crate) const PRELUDE: &str = "CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; \
     CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy', '7', 'true', 'a \"b\\', ''); \
     CREATE TYPE pair AS (a int, b text); \
     CREATE DOMAIN posint AS int CHECK (VALUE > 0); \
     CREATE DOMAIN code AS varchar(5); \
     CREATE DOMAIN must AS text NOT NULL; \
     CREATE DOMAIN short_code AS code CHECK (VALUE <> 'never'); \
     CREATE DOMAIN price AS numeric(8,2); \
     CREATE DOMAIN feeling AS mood CHECK (VALUE <> 'sad'); \
     CREATE DOMAIN ints AS int[] CHECK (cardinality(VALUE) < 4);";

pub(crate) const COLUMNS: &[ColumnType] = &{
    use Family::*;
    const fn of(sql: &'static str, family: Family) -> ColumnType {
        ColumnType { sql, family, left_to_server: false }
    }
    const fn server(sql: &'static str, family: Family) -> ColumnType {
        ColumnType { sql, family, left_to_server: true }
    }
    [
        of("boolean", Bool),
        of("smallint", Integer),
        of("integer", Integer),
        of("bigint", Integer),
        of("real", Float),
        of("double precision", Float),
        of("numeric", Numeric),
        of("numeric(10,2)", Numeric),
        of("numeric(5,-2)", Numeric),
        of("text", Text),
        of("varchar(5)", Text),
        of("char(4)", Text),
        of("citext", Text),
        of("name", Name),
        of("uuid", Uuid),
        of("json", Json),
        server("jsonb", Json),
        of("bytea", Bytea),
        of("date", Date),
        of("time", Time),
        of("time(2)", Time),
        of("timetz", Timetz),
        of("timetz(0)", Timetz),
        of("timestamp", Timestamp),
        of("timestamp(3)", Timestamp),
        of("timestamptz", Timestamptz),
        of("timestamptz(0)", Timestamptz),
        of("interval", Interval),
        of("interval(2)", Interval),
        of("inet", Inet),
        of("cidr", Cidr),
        of("mood", Enum),
        server("posint", Integer),
        of("code", Text),
        of("must", Text),
        server("short_code", Text),
        of("price", Numeric),
        server("feeling", Enum),
        of("integer[]", Integer),
        of("text[]", Text),
        of("varchar(5)[]", Text),
        of("numeric(10,2)[]", Numeric),
        of("double precision[]", Float),
        of("boolean[]", Bool),
        of("uuid[]", Uuid),
        of("bytea[]", Bytea),
        of("date[]", Date),
        of("timestamptz[]", Timestamptz),
        of("interval[]", Interval),
        of("inet[]", Inet),
        of("mood[]", Enum),
        of("citext[]", Text),
        server("jsonb[]", Json),
        server("posint[]", Integer),
        server("ints", Integer),
        server("int4range", Input),
        server("int4multirange", Input),
        server("point", Input),
        server("box", Input),
        server("bit(4)", Input),
        server("varbit", Input),
        server("money", Input),
        server("xml", Input),
        server("tsvector", Input),
        server("hstore", Input),
        server("ltree", Input),
        server("macaddr", Input),
        server("oid", Input),
        server("pg_lsn", Input),
        server("\"char\"", Input),
        server("jsonpath", Input),
        server("int4range[]", Input),
        server("box[]", Input),
        server("pair", Composite),
        server("interval hour to minute", Input),
    ]
};
