//! COPY of encoded tuples, as they are or as text. Formats: PostgreSQL's documentation of COPY, "Binary Format" and
//! "Text Format".

use std::io::Write;

use postgres::CopyInWriter;

use crate::batch::rows::{Rows, Tuple};
use crate::encode::write_text;
use crate::postgres::failure::Failure;
use crate::postgres::sql::ident;
use crate::table::plan::{Format, Plan};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Bytes gathered before they are handed to the connection: large enough that its bookkeeping vanishes.
const CHUNK: usize = 256 * 1024;

/// The name of the staging table's column that says which row of the batch it is.
pub const ORDINAL: &str = "kafka_sink_ordinal";

/// `COPY target (columns) FROM STDIN`, for tuples of the given columns.
pub fn statement(target: &str, plan: &Plan, columns: &[u16], ordinal: bool) -> String {
    let mut names: Vec<String> = columns.iter().map(|&c| ident(&plan.columns[usize::from(c)].name)).collect();
    if ordinal {
        names.insert(0, ident(ORDINAL));
    }
    let format = match plan.format {
        Format::Binary => "binary",
        Format::Text => "text",
    };
    format!("COPY {target} ({}) FROM STDIN (FORMAT {format})", names.join(", "))
}

/// Streams tuples of `plan` into a COPY that has begun, and ends it. With ordinals, each tuple gets its number as
/// first field.
pub fn stream(
    copy: CopyInWriter<'_>,
    plan: &Plan,
    rows: &Rows,
    tuples: impl Iterator<Item = (u32, Tuple)>,
    ordinals: bool,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    let mut copy = copy;
    let mut field_text = Vec::new();
    buffer.clear();
    if plan.format == Format::Binary {
        buffer.extend_from_slice(SIGNATURE);
        buffer.extend_from_slice(&[0; 8]);
    }
    for (number, tuple) in tuples {
        let ordinal = ordinals.then_some(number);
        match plan.format {
            Format::Binary => append_binary(rows.bytes_of(tuple), ordinal, buffer),
            Format::Text => append_text(plan, rows.fields(tuple), ordinal, &mut field_text, buffer),
        }
        if buffer.len() >= CHUNK {
            send(&mut copy, buffer)?;
        }
    }
    if plan.format == Format::Binary {
        buffer.extend_from_slice(&(-1_i16).to_be_bytes());
    }
    send(&mut copy, buffer)?;
    Ok(copy.finish()?)
}

fn append_binary(tuple: &[u8], ordinal: Option<u32>, buffer: &mut Vec<u8>) {
    let Some(ordinal) = ordinal else { return buffer.extend_from_slice(tuple) };
    let (count, fields) = tuple.split_first_chunk::<2>().expect("a tuple begins with its field count");
    buffer.extend_from_slice(&(i16::from_be_bytes(*count) + 1).to_be_bytes());
    buffer.extend_from_slice(&4_i32.to_be_bytes());
    buffer.extend_from_slice(&ordinal.to_be_bytes());
    buffer.extend_from_slice(fields);
}

/// Appends a line. `text` is room for one field.
fn append_text<'a>(
    plan: &Plan,
    fields: impl Iterator<Item = (usize, Option<&'a [u8]>)>,
    ordinal: Option<u32>,
    text: &mut Vec<u8>,
    buffer: &mut Vec<u8>,
) {
    let mut separate = false;
    if let Some(ordinal) = ordinal {
        buffer.extend_from_slice(ordinal.to_string().as_bytes());
        separate = true;
    }
    for (column, field) in fields {
        if std::mem::replace(&mut separate, true) {
            buffer.push(b'\t');
        }
        let Some(field) = field else {
            buffer.extend_from_slice(b"\\N");
            continue;
        };
        text.clear();
        write_text(&plan.columns[column].kind, field, text);
        for byte in &*text {
            match byte {
                b'\\' => buffer.extend_from_slice(b"\\\\"),
                b'\n' => buffer.extend_from_slice(b"\\n"),
                b'\r' => buffer.extend_from_slice(b"\\r"),
                b'\t' => buffer.extend_from_slice(b"\\t"),
                byte => buffer.push(*byte),
            }
        }
    }
    buffer.push(b'\n');
}

fn send(copy: &mut CopyInWriter<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    copy.write_all(buffer).and_then(|()| copy.flush()).map_err(from_io)?;
    buffer.clear();
    Ok(())
}

/// The writer wraps the client's errors in io::Error, with the server's error inside.
fn from_io(error: std::io::Error) -> Failure {
    let text = error.to_string();
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<postgres::Error>) {
        Some(Ok(error)) => Failure::from(*error),
        Some(Err(_)) | None => Failure { connection_lost: true, ..Failure::transient(text) },
    }
}
