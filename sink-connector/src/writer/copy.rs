//! COPY BINARY of encoded tuples. Format: PostgreSQL's documentation of COPY, "Binary Format".

use std::io::Write;

use postgres::CopyInWriter;

use crate::batch::rows::{Rows, Tuple};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::sql::ident;

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
    format!("COPY {target} ({}) FROM STDIN (FORMAT binary)", names.join(", "))
}

/// Streams tuples into a COPY that has begun, and ends it. With ordinals, each tuple gets its number as first field.
pub fn stream(
    copy: CopyInWriter<'_>,
    rows: &Rows,
    tuples: impl Iterator<Item = (u32, Tuple)>,
    ordinals: bool,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    let mut copy = copy;
    buffer.clear();
    buffer.extend_from_slice(SIGNATURE);
    buffer.extend_from_slice(&[0; 8]);
    for (ordinal, tuple) in tuples {
        let bytes = rows.bytes_of(tuple);
        if ordinals {
            let (count, fields) =
                bytes.split_first_chunk::<2>().expect("a tuple begins with its field count");
            buffer.extend_from_slice(&(i16::from_be_bytes(*count) + 1).to_be_bytes());
            buffer.extend_from_slice(&4_i32.to_be_bytes());
            buffer.extend_from_slice(&ordinal.to_be_bytes());
            buffer.extend_from_slice(fields);
        } else {
            buffer.extend_from_slice(bytes);
        }
        if buffer.len() >= CHUNK {
            send(&mut copy, buffer)?;
        }
    }
    buffer.extend_from_slice(&(-1_i16).to_be_bytes());
    send(&mut copy, buffer)?;
    Ok(copy.finish()?)
}

fn send(copy: &mut CopyInWriter<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    copy.write_all(buffer).and_then(|()| copy.flush()).map_err(from_io)?;
    buffer.clear();
    Ok(())
}

/// The writer wraps the client's errors in io::Error; the server's word is inside.
fn from_io(error: std::io::Error) -> Failure {
    let text = error.to_string();
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<postgres::Error>) {
        Some(Ok(error)) => Failure::from(*error),
        Some(Err(_)) | None => Failure { connection_lost: true, ..Failure::transient(text) },
    }
}
