//! Records of which some are bad or have a key that exists, against records that are all good and new.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use tests::Record;

use crate::drain_table::{Drain, Drained};
use crate::setting::Setting;

const TABLE: &str = "mixed";
const COLUMNS: usize = 16;
/// The default of `batch.max_rows`.
const BATCH: u64 = 5_000;

/// What some of the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Mix {
    /// All are rows with new keys.
    Clean,
    /// Every hundredth has text for a number: a dead letter.
    Bad,
    /// In one of twenty batches, a record has a key that exists.
    Duplicates,
}

/// What a mix came to.
#[derive(Debug, Serialize)]
pub(crate) struct Mixed {
    mix: Mix,
    drained: Drained,
    /// Its rate by that of clean records.
    of_clean: f64,
}

impl Mix {
    fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Bad => "1 % of the records are bad",
            Self::Duplicates => "5 % of the batches have a key that exists",
        }
    }

    fn records(self, records: u64) -> impl Iterator<Item = Record> {
        (0..records).map(move |n| {
            let last = if self == Self::Bad && n % 100 == 99 { "\"bad\"".to_owned() } else { n.to_string() };
            let columns: String = (1..COLUMNS).map(|c| format!(",\"c{c}\":{n}")).collect();
            Record::new(format!("{{\"id\":{n}{columns},\"c0\":{last}}}"))
                .partition(i32::try_from(n % 2).unwrap_or_default())
        })
    }

    fn ddl(self, records: u64) -> String {
        let columns: String = (0..COLUMNS).map(|c| format!(", c{c} int")).collect();
        let table = format!("CREATE TABLE {TABLE} (id int PRIMARY KEY{columns})");
        let step = 20 * BATCH;
        match self {
            // The middle of one batch in twenty.
            Self::Duplicates => {
                format!(
                    "{table}; INSERT INTO {TABLE} SELECT generate_series({}, {records} - 1, {step})",
                    BATCH / 2
                )
            }
            Self::Clean | Self::Bad => table,
        }
    }
}

/// Drains each mix.
pub(crate) fn measure(setting: &Setting, records: u64) -> Result<Vec<Mixed>> {
    let mut clean = None;
    [Mix::Clean, Mix::Bad, Mix::Duplicates]
        .into_iter()
        .map(|mix| {
            let drained = Drain::new(TABLE, mix.ddl(records)).run(setting, mix.records(records), records)?;
            let clean = *clean.get_or_insert(drained.rows_per_second);
            Ok(Mixed { mix, drained, of_clean: drained.rows_per_second / clean })
        })
        .collect()
}

/// What the table shows.
pub(crate) const EXPLAINED: &str = "Into a table of 16 integer columns with a primary key:";

/// The head of the table whose lines are [`Mixed`].
pub(crate) const HEAD: &str = "| records | records/s | of clean |\n|---|--:|--:|";

impl fmt::Display for Mixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {:.0} | {:.2} |", self.mix.name(), self.drained.rows_per_second, self.of_clean)
    }
}
