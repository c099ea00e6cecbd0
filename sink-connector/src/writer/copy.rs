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
const SEND_BYTES: usize = 256 * 1024;

/// `COPY target (columns) FROM STDIN`, for tuples of the given columns.
pub fn statement(target: &str, plan: &Plan, columns: &[u16]) -> String {
    let names = columns.iter().map(|&c| ident(&plan.columns[usize::from(c)].name));
    statement_of(target, plan.format, names)
}

/// The same for columns with these names, which are quoted.
pub(super) fn statement_of(target: &str, format: Format, names: impl Iterator<Item = String>) -> String {
    let format = match format {
        Format::Binary => "binary",
        Format::Text => "text",
    };
    format!("COPY {target} ({}) FROM STDIN (FORMAT {format})", names.collect::<Vec<_>>().join(", "))
}

/// Streams tuples of `plan` into a COPY that has begun, and ends it.
pub fn stream(
    copy: CopyInWriter<'_>,
    plan: &Plan,
    rows: &Rows,
    tuples: impl Iterator<Item = (u32, Tuple)>,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    if plan.format == Format::Binary {
        return stream_runs(copy, rows.runs(tuples.map(|(_, tuple)| tuple)), buffer);
    }
    let mut text = Vec::new();
    stream_lines(copy, plan.format, buffer, tuples, |(_, tuple), buffer| {
        for (n, (column, field)) in rows.fields(tuple).enumerate() {
            if n > 0 {
                buffer.push(b'\t');
            }
            append_text(plan, column, field, &mut text, buffer);
        }
        buffer.push(b'\n');
    })
}

/// Streams tuples that are in the format of COPY BINARY already. Long runs of them are not gathered first.
fn stream_runs<'a>(
    mut copy: CopyInWriter<'_>,
    runs: impl Iterator<Item = &'a [u8]>,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    begin(Format::Binary, buffer);
    for run in runs {
        if buffer.len() + run.len() < SEND_BYTES {
            buffer.extend_from_slice(run);
            continue;
        }
        send(&mut copy, buffer)?;
        buffer.clear();
        for piece in run.chunks(SEND_BYTES) {
            send(&mut copy, piece)?;
        }
    }
    end(copy, Format::Binary, buffer)
}

/// Streams what `append` makes of each line into a COPY that has begun, and ends it.
pub(super) fn stream_lines<T>(
    mut copy: CopyInWriter<'_>,
    format: Format,
    buffer: &mut Vec<u8>,
    lines: impl Iterator<Item = T>,
    mut append: impl FnMut(T, &mut Vec<u8>),
) -> Result<u64, Failure> {
    begin(format, buffer);
    for line in lines {
        append(line, buffer);
        if buffer.len() >= SEND_BYTES {
            send(&mut copy, buffer)?;
            buffer.clear();
        }
    }
    end(copy, format, buffer)
}

fn begin(format: Format, buffer: &mut Vec<u8>) {
    buffer.clear();
    if format == Format::Binary {
        buffer.extend_from_slice(SIGNATURE);
        buffer.extend_from_slice(&[0; 8]);
    }
}

fn end(mut copy: CopyInWriter<'_>, format: Format, buffer: &mut Vec<u8>) -> Result<u64, Failure> {
    if format == Format::Binary {
        buffer.extend_from_slice(&(-1_i16).to_be_bytes());
    }
    send(&mut copy, buffer)?;
    Ok(copy.finish()?)
}

/// Appends a field in COPY's text format. `text` is room for one field.
pub(super) fn append_text(
    plan: &Plan,
    column: usize,
    field: Option<&[u8]>,
    text: &mut Vec<u8>,
    buffer: &mut Vec<u8>,
) {
    let Some(field) = field else { return buffer.extend_from_slice(b"\\N") };
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

/// Appends a field in COPY's binary format.
pub(super) fn put_field(buffer: &mut Vec<u8>, field: Option<&[u8]>) {
    let Some(field) = field else { return buffer.extend_from_slice(&(-1_i32).to_be_bytes()) };
    let len = i32::try_from(field.len()).expect("a field is part of a record, and a record is below 2 GiB");
    buffer.extend_from_slice(&len.to_be_bytes());
    buffer.extend_from_slice(field);
}

fn send(copy: &mut CopyInWriter<'_>, bytes: &[u8]) -> Result<(), Failure> {
    copy.write_all(bytes).and_then(|()| copy.flush()).map_err(from_io)
}

/// The writer wraps the client's errors in io::Error, with the server's error inside.
fn from_io(error: std::io::Error) -> Failure {
    let text = error.to_string();
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<postgres::Error>) {
        Some(Ok(error)) => Failure::from(*error),
        Some(Err(_)) | None => Failure { connection_lost: true, ..Failure::transient(text) },
    }
}
