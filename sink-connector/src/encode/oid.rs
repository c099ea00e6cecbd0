//! Object ids of the built-in types that have a binary encoder (`pg_type.dat` of PostgreSQL; they never change).

/// `boolean`
pub(crate) const BOOL: u32 = 16;
pub(crate) const BYTEA: u32 = 17;
pub(crate) const NAME: u32 = 19;
/// `bigint`
pub(crate) const INT8: u32 = 20;
/// `smallint`
pub(crate) const INT2: u32 = 21;
/// `integer`
pub(crate) const INT4: u32 = 23;
pub(crate) const TEXT: u32 = 25;
pub(crate) const JSON: u32 = 114;
pub(crate) const CIDR: u32 = 650;
/// `real`
pub(crate) const FLOAT4: u32 = 700;
/// `double precision`
pub(crate) const FLOAT8: u32 = 701;
pub(crate) const INET: u32 = 869;
/// `character(n)`
pub(crate) const BPCHAR: u32 = 1042;
/// `character varying(n)`
pub(crate) const VARCHAR: u32 = 1043;
pub(crate) const DATE: u32 = 1082;
/// `time without time zone`
pub(crate) const TIME: u32 = 1083;
/// `timestamp without time zone`
pub(crate) const TIMESTAMP: u32 = 1114;
/// `timestamp with time zone`
pub(crate) const TIMESTAMPTZ: u32 = 1184;
pub(crate) const INTERVAL: u32 = 1186;
/// `time with time zone`
pub(crate) const TIMETZ: u32 = 1266;
pub(crate) const NUMERIC: u32 = 1700;
pub(crate) const UUID: u32 = 2950;
pub(crate) const JSONB: u32 = 3802;
