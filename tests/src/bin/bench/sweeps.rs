//! `make bench-sweeps`: how the rate depends on the size of records, the number of columns, partitions and processes, the size
//! of the table, and the distance of the server. One thing varies at a time.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use tests::Record;

use crate::drain_table::{Drain, Drained};
use crate::setting::Setting;

/// What was measured.
pub(crate) const TITLE: &str = "One drain each, of at most 500,000 records and 100 MB, into a table with a primary key, from 2 \
     partitions unless they are what varies; otherwise as configured by default";

const TABLE: &str = "sweep";
/// About as many bytes of JSON in every drain, so that each takes seconds.
const BYTES: u64 = 100_000_000;
const MANY_PARTITIONS: i32 = 600;
const DEADLINE: Duration = Duration::from_secs(60);

/// A series of drains.
struct Sweep {
    name: &'static str,
    points: Vec<Point>,
}

struct Point {
    name: String,
    drain: Drain,
    fields: Fields,
    records: u64,
}

/// What a record has beside `id`.
#[derive(Clone, Copy)]
enum Fields {
    /// So many integers.
    Integers(usize),
    /// One text of so many bytes.
    Text(usize),
}

/// The result of one drain.
#[derive(Debug, Serialize)]
pub(crate) struct Swept {
    sweep: &'static str,
    point: String,
    records: u64,
    drained: Drained,
}

/// How soon a sink of many partitions works, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ManyPartitions {
    partitions: i32,
    /// From the start of the process until a record of every partition is a row.
    start: f64,
    /// From the last acknowledgement of one more record for each partition until the lag shows all of them.
    lag: f64,
}

impl Fields {
    fn columns(self) -> String {
        match self {
            Self::Integers(columns) => (0..columns).map(|c| format!(", c{c} int")).collect(),
            Self::Text(_) => ", payload text".to_owned(),
        }
    }

    fn value(self, id: u64) -> String {
        match self {
            Self::Integers(columns) => (0..columns).map(|c| format!(",\"c{c}\":{}", id + c as u64)).collect(),
            Self::Text(bytes) => format!(",\"payload\":\"{id:0>bytes$}\""),
        }
    }

    /// Records of this kind that make about [`BYTES`].
    fn records(self) -> u64 {
        let bytes = "{\"id\":100000}".len() + self.value(100_000).len();
        BYTES / bytes as u64 / 2 * 2
    }
}

impl Point {
    fn new(name: impl Into<String>, fields: Fields) -> Self {
        let ddl = format!("CREATE TABLE {TABLE} (id int PRIMARY KEY{})", fields.columns());
        Self {
            name: name.into(),
            drain: Drain::new(TABLE, ddl),
            fields,
            records: fields.records().min(500_000),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Drain)) -> Self {
        change(&mut self.drain);
        self
    }

    fn measure(&self, setting: &Setting) -> Result<Drained> {
        let (partitions, fields) = (self.drain.partitions as u64, self.fields);
        // Keys that are not there, between those of a table that is not empty, in no order. The step is a prime.
        let values = (0..self.records).map(|n| {
            let id = 2 * (n * 7_919 % self.records) + 1;
            Record::new(format!("{{\"id\":{id}{}}}", fields.value(id)))
                .partition(i32::try_from(n % partitions).unwrap_or_default())
        });
        let drained = self.drain.run(setting, values, self.records)?;
        ensure!(drained.rows_written == i64::try_from(self.records)?, "only {} rows", drained.rows_written);
        Ok(drained)
    }
}

fn sweeps() -> Vec<Sweep> {
    let plain = Fields::Integers(4);
    let point = |name: String, change: &dyn Fn(&mut Drain)| Point::new(name, plain).with(change);
    let named = |value: &dyn fmt::Display| value.to_string();
    vec![
        Sweep {
            name: "columns",
            points: [4, 40, 400].map(|n| Point::new(named(&n), Fields::Integers(n))).into(),
        },
        Sweep {
            name: "bytes of text",
            points: [100, 1_000, 10_000].map(|n| Point::new(named(&n), Fields::Text(n))).into(),
        },
        Sweep {
            name: "format of COPY",
            points: vec![
                point("binary".into(), &|_| {}),
                point("text (a column of type aclitem)".into(), &|drain| {
                    drain.ddl = drain.ddl.replace("c0 int", "c0 int, grants aclitem");
                }),
            ],
        },
        Sweep {
            name: "partitions",
            points: [1, 16, 64, 500].map(|n| point(named(&n), &|drain| drain.partitions = n)).into(),
        },
        Sweep {
            name: "processes, of 16 partitions",
            points: [1, 2, 4]
                .map(|n| {
                    point(named(&n), &|drain| {
                        drain.partitions = 16;
                        drain.processes = n;
                    })
                })
                .into(),
        },
        Sweep {
            name: "rows in the table before",
            points: [0_u64, 1_000_000, 10_000_000]
                .map(|n| {
                    point(named(&n), &|drain| {
                        drain.ddl.push_str(&format!(
                            "; INSERT INTO {TABLE} SELECT 2 * n, n, n, n, n FROM generate_series(1, {n}) n; \
                             VACUUM ANALYZE {TABLE}"
                        ));
                    })
                })
                .into(),
        },
        Sweep {
            name: "ms to PostgreSQL, one way",
            points: [0, 1, 5]
                .map(|n| point(named(&n), &|drain| drain.latency = Duration::from_millis(n)))
                .into(),
        },
    ]
}

/// Measures all of them.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Swept>> {
    let mut results = Vec::new();
    for sweep in sweeps() {
        for point in sweep.points {
            let drained = point.measure(setting)?;
            let swept = Swept { sweep: sweep.name, point: point.name, records: point.records, drained };
            eprintln!("{swept}");
            results.push(swept);
        }
    }
    Ok(results)
}

/// A sink that reads a topic of 600 partitions starts, and then cannot write.
pub(crate) fn many_partitions(setting: &Setting) -> Result<ManyPartitions> {
    let topic = setting.kafka().topic("many", MANY_PARTITIONS);
    let records = |round: i32| {
        (0..MANY_PARTITIONS)
            .map(move |n| Record::new(format!("{{\"id\":{}}}", round * MANY_PARTITIONS + n)).partition(n))
    };
    setting.kafka().produce(&topic, records(0));
    let target = setting.target()?;
    let mut client = target.client()?;
    client.batch_execute(&format!("CREATE TABLE {TABLE} (id int PRIMARY KEY)"))?;
    let config = setting.sink(&target).topic(&topic).table(TABLE).pk_fields(&["id"]);
    let started = Instant::now();
    let sink = config.run();
    loop {
        let rows: i64 = client.query_one(&format!("SELECT count(*) FROM {TABLE}"), &[])?.get(0);
        if rows == i64::from(MANY_PARTITIONS) {
            break;
        }
        ensure!(started.elapsed() < DEADLINE, "only {rows} rows\n{}", sink.log_tail());
        thread::sleep(Duration::from_millis(5));
    }
    let start = started.elapsed().as_secs_f64();
    let mut lock = client.transaction()?;
    lock.batch_execute(&format!("LOCK TABLE {TABLE}"))?;
    setting.kafka().produce(&topic, records(1));
    let produced = Instant::now();
    let all = f64::from(MANY_PARTITIONS);
    sink.wait_metric(DEADLINE, "sink_lag_records", |lag| lag >= all);
    Ok(ManyPartitions { partitions: MANY_PARTITIONS, start, lag: produced.elapsed().as_secs_f64() })
}

/// The head of the table whose lines are [`Swept`].
pub(crate) const HEAD: &str = "\
| what varies | | rows/s | sink CPU µs/row | PostgreSQL µs/row | peak MB | records |
|---|--:|--:|--:|--:|--:|--:|";

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sweep, point, records, drained } = self;
        let Drained { rows_per_second, client_us, postgres_us, peak_rss_bytes, .. } = drained;
        write!(
            f,
            "| {sweep} | {point} | {rows_per_second:.0} | {client_us:.2} | {postgres_us:.2} | {:.0} | {records} |",
            *peak_rss_bytes as f64 / 1e6
        )
    }
}

impl fmt::Display for ManyPartitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, start, lag } = self;
        write!(
            f,
            "{partitions} partitions: start → a row of each {start:.2} s; the lag of all of them is known after {lag:.2} s"
        )
    }
}
