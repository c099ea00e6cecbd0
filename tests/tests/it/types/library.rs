//! Values through the sink's own decoder, encoders and COPY into a table, without Kafka between.

use postgres::Client;
use sink_connector::testing::{
    Cells, Mode, Options, Plan, Pushed, Rows, TableName, Tuple, ValueFormat, Wanted, catalog, copy,
};

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    /// Our decoder refused it.
    Refused(String),
    /// The server refused it inside COPY.
    RefusedByServer(String),
    /// It is a row: the value as the server prints it.
    Row(Option<String>),
}

/// The plan of a table without a key.
pub(crate) fn plan(client: &mut Client, table: &str) -> Plan {
    let wanted = Wanted {
        table: TableName::parse(table),
        mode: Mode::Insert,
        key: Vec::new(),
        record_key: false,
        deletes: false,
        allow_unlogged: false,
        read_before_write: true,
        version_field: None,
        metadata: Vec::new(),
        rename: Vec::new(),
        unavailable_value_placeholder: String::new(),
        options: Options {
            reject_unknown_fields: true,
            unwrap_single_element_arrays: true,
            value_format: ValueFormat::Json,
            ..Options::default()
        },
    };
    let table = catalog::read_table(client, &wanted.table).unwrap().expect("the table exists");
    Plan::new(&wanted, &table).unwrap()
}

/// Writes each value, JSON text, into column `v` of `table`, which has an `id` beside it.
pub(crate) fn write(client: &mut Client, table: &str, values: &[String]) -> Vec<Ours> {
    let plan = plan(client, table);
    let (mut cells, mut rows) = (Cells::new(0), Rows::new(plan.columns.len()));
    let mut outcomes: Vec<Ours> = Vec::with_capacity(values.len());
    let mut tuples = Vec::new();
    for (id, value) in (0_u32..).zip(values) {
        let payload = format!("{{\"id\":{id},\"v\":{value}}}");
        let refused = match plan.decoder.decode(payload.as_bytes(), &mut cells) {
            Err(rejection) => Some(rejection),
            Ok(()) => match rows.push(&plan, id, &cells) {
                Pushed::Rejected(rejection) => Some(rejection),
                _ => None,
            },
        };
        outcomes.push(match refused {
            Some(rejection) => Ours::Refused(rejection.to_string()),
            None => Ours::Row(None),
        });
        if let (Ours::Row(_), Some(row)) = (&outcomes[id as usize], rows.rows().last()) {
            tuples.push((id, row.tuple));
        }
    }
    let Some((_, first)) = tuples.first() else { return outcomes };
    let sql = copy::statement(&plan.target, &plan, &rows.shapes().get(first.shape).columns);
    copy_or_halve(client, &sql, &plan, &rows, &tuples, &mut outcomes);
    for row in client.query(&format!("SELECT id, v::text FROM {table}"), &[]).unwrap() {
        let id = usize::try_from(row.get::<_, i32>(0)).unwrap();
        outcomes[id] = Ours::Row(row.get(1));
    }
    outcomes
}

/// COPY of all tuples, or of each half when the server refuses, down to those that it refuses alone.
fn copy_or_halve(
    client: &mut Client,
    sql: &str,
    plan: &Plan,
    rows: &Rows,
    tuples: &[(u32, Tuple)],
    outcomes: &mut [Ours],
) {
    let mut transaction = client.transaction().unwrap();
    let copy_in = transaction.copy_in(sql).unwrap();
    match copy::stream(copy_in, plan, rows, tuples.iter().copied(), &mut Vec::new()) {
        Ok(written) => {
            assert_eq!(written, tuples.len() as u64);
            transaction.commit().unwrap();
        }
        Err(failure) => {
            transaction.rollback().unwrap();
            if let [(id, _)] = tuples {
                outcomes[*id as usize] = Ours::RefusedByServer(failure.to_string());
            } else {
                let (first, second) = tuples.split_at(tuples.len() / 2);
                copy_or_halve(client, sql, plan, rows, first, outcomes);
                copy_or_halve(client, sql, plan, rows, second, outcomes);
            }
        }
    }
}
