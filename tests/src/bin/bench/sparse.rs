//! Records that carry only some of the columns, against records that carry all of them.

use std::fmt::{self, Write as _};

use anyhow::{Result, ensure};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tests::Record;

use crate::drain_table::{Drain, Drained};
use crate::setting::Setting;

/// What records are written to.
pub(crate) struct Case {
    /// Its line in the report.
    pub name: &'static str,
    columns: usize,
    default: &'static str,
    /// The keys are there already.
    exist: bool,
}

impl Case {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [
        Self { name: "upserts of existing keys, 16 columns", columns: 16, default: "", exist: true },
        Self { name: "upserts of existing keys, 40 columns", columns: 40, default: "", exist: true },
        Self { name: "inserts, 16 columns DEFAULT 7", columns: 16, default: "DEFAULT 7", exist: false },
        Self {
            name: "inserts, 16 columns DEFAULT nextval",
            columns: 16,
            default: "DEFAULT nextval('numbers')",
            exist: false,
        },
    ];

    fn ddl(&self, records: u64) -> String {
        let mut ddl =
            "CREATE SEQUENCE numbers CACHE 1000; CREATE TABLE sparse (id int PRIMARY KEY".to_owned();
        for n in 0..self.columns {
            write!(ddl, ", c{n} int {}", self.default).expect("writing to a String cannot fail");
        }
        ddl.push_str("); ");
        if self.exist {
            write!(ddl, "INSERT INTO sparse SELECT generate_series(0, {records} - 1); VACUUM ANALYZE sparse")
                .expect("writing to a String cannot fail");
        }
        ddl
    }

    /// Records of every key once, in a random order, with each column in a `share` of them.
    fn records(&self, records: u64, share: f64) -> impl Iterator<Item = Record> {
        let (columns, mut random) = (self.columns, ChaCha8Rng::seed_from_u64(7));
        // Coprime to any number of records that is not a multiple of it.
        let step = 7_919;
        (0..records).map(move |n| {
            let mut value = format!("{{\"id\":{}", n * step % records);
            for column in 0..columns {
                if random.random_bool(share) {
                    write!(value, ",\"c{column}\":{n}").expect("writing to a String cannot fail");
                }
            }
            value.push('}');
            Record::new(value).partition(i32::try_from(n % 2).unwrap_or_default())
        })
    }
}

/// What a case came to.
#[derive(Serialize)]
pub(crate) struct Compared {
    name: &'static str,
    dense: Drained,
    sparse: Drained,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dense, sparse) = (self.dense, self.sparse);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        write!(
            f,
            "| {} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} |",
            self.name,
            dense.rows_per_second,
            sparse.rows_per_second,
            sparse.rows_per_second / dense.rows_per_second,
            mb(dense.backend_bytes),
            mb(sparse.backend_bytes)
        )
    }
}

/// What the table shows.
pub(crate) const EXPLAINED: &str = "\
    Dense records carry every column, sparse ones each column with a probability of one half. The tables have integer columns \
    and a primary key, so these rates do not compare with those above.";

/// The head of the table whose lines are [`Compared`].
pub(crate) const HEAD: &str = "\
| each column in half of the records | rows/s dense | rows/s sparse | sparse/dense | backend MB dense | backend MB sparse |
|---|--:|--:|--:|--:|--:|";

/// Drains dense and sparse records of a case.
pub(crate) fn measure(setting: &Setting, case: &Case, records: u64) -> Result<Compared> {
    let dense = drain(setting, case, records, 1.0)?;
    let sparse = drain(setting, case, records, 0.5)?;
    Ok(Compared { name: case.name, dense, sparse })
}

fn drain(setting: &Setting, case: &Case, records: u64, share: f64) -> Result<Drained> {
    let drained =
        Drain::new("sparse", case.ddl(records)).run(setting, case.records(records, share), records)?;
    ensure!(drained.rows_written == i64::try_from(records)?, "only {} rows", drained.rows_written);
    Ok(drained)
}
