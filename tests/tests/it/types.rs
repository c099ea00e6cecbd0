//! Every type takes what PostgreSQL itself would take, and refuses what it would refuse, but for the differences that
//! docs/types.md lists.

mod columns;
mod differences;
mod hard;
pub(crate) mod library;
mod pools;
mod sink;
mod values;

use std::collections::BTreeSet;

use columns::{COLUMNS, ColumnType, PRELUDE};
use differences::{DIFFERENCES, Difference, Here, OF_WHOLES};
use library::Ours;
use postgres::Client;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::value::RawValue;
use tests::Services;

/// Values for each of the types: more than 20,000 in all.
const VALUES: usize = 300;

/// TYPES_SEED, to look for differences elsewhere; one and the same otherwise, so that a run says something about the
/// change that it tests.
fn seed() -> u64 {
    let seed = std::env::var("TYPES_SEED").map_or(20_260, |seed| seed.parse().expect("a number"));
    println!("TYPES_SEED={seed}");
    seed
}

/// What PostgreSQL makes of JSON: an SQL expression over `$1`, tried without aborting the transaction. `=` and the
/// value as text, NULL, or `!` and the error.
const OUTCOME: &str = "CREATE FUNCTION outcome(expression text, value text) RETURNS text LANGUAGE plpgsql AS $f$ \
     DECLARE result text; \
     BEGIN EXECUTE 'SELECT (' || expression || ')::text' INTO result USING value; RETURN '=' || result; \
     EXCEPTION WHEN others THEN RETURN '!' || SQLSTATE || ' ' || SQLERRM; END $f$;";

/// A value's fate by PostgreSQL's reckoning: `Err` is refused, `Ok(None)` is NULL.
type Fate = Result<Option<String>, String>;

/// What PostgreSQL makes of values, JSON text, for the column `v` of table `r_N`.
fn reference(client: &mut Client, number: usize, column: &ColumnType, values: &[String]) -> Vec<Fate> {
    // JSON goes into JSON as it is; json_populate_record would read and write its strings first.
    let expression = match column.sql {
        sql @ ("json" | "jsonb") => format!("CASE WHEN $1 <> 'null' THEN $1::{sql} END"),
        _ => format!("(json_populate_record(NULL::r_{number}, ('{{\"v\":' || $1 || '}}')::json)).v"),
    };
    outcomes(client, &expression, values)
}

fn outcomes(client: &mut Client, expression: &str, values: &[String]) -> Vec<Fate> {
    let rows = client
        .query(
            "SELECT outcome($1, v) FROM unnest($2::text[]) WITH ORDINALITY u(v, n) ORDER BY n",
            &[&expression, &values],
        )
        .unwrap();
    rows.iter()
        .map(|row| match row.get::<_, Option<&str>>(0) {
            None => Ok(None),
            Some(text) => match text.split_at(1) {
                ("=", value) => Ok(Some(value.to_owned())),
                (_, error) => Err(error.to_owned()),
            },
        })
        .collect()
}

/// The fate that the deliberate differences give a value; `None` when none of them is about it. `met` gathers those
/// that are.
fn deliberate(
    client: &mut Client,
    number: usize,
    column: &ColumnType,
    json: &str,
    met: &mut BTreeSet<&'static str>,
) -> Option<Fate> {
    if let Some(difference) = OF_WHOLES.iter().find(|difference| (difference.covers)(column, json)) {
        met.insert(difference.value);
        return Some(Err("a deliberate difference".into()));
    }
    let read = match column.element() {
        Some(element) => rewrite_elements(client, &element, json, dimensions(json), met)?,
        None => rewrite(client, column, json, DIFFERENCES, met)?,
    };
    let Ok(json) = read else { return Some(Err("a deliberate difference".into())) };
    Some(reference(client, number, column, &[json]).remove(0))
}

/// The JSON text that PostgreSQL reads as we read this value, if a difference is about it; `Err`: we refuse it.
fn rewrite(
    client: &mut Client,
    column: &ColumnType,
    json: &str,
    differences: &[Difference],
    met: &mut BTreeSet<&'static str>,
) -> Option<Result<String, String>> {
    let difference = differences.iter().find(|difference| (difference.covers)(column, json))?;
    met.insert(difference.value);
    let like = match difference.here {
        Here::Refused => return Some(Err(difference.value.into())),
        Here::Like(rewritten) => rewritten(json),
        Here::LikeSql(expression) => match outcomes(client, expression, &[json.to_owned()]).remove(0) {
            Ok(Some(like)) => return Some(Ok(like)),
            Ok(None) => return Some(Ok("null".into())),
            Err(error) => return Some(Err(error)),
        },
    };
    // What was unwrapped may itself be read otherwise.
    let again = if column.element().is_none() && json.starts_with('[') {
        rewrite(client, column, &like, ELEMENT_DIFFERENCES, met)
    } else {
        None
    };
    Some(again.unwrap_or(Ok(like)))
}

/// The differences of values that are not unwrapped: all but the first.
const ELEMENT_DIFFERENCES: &[Difference] = DIFFERENCES.split_at(1).1;

/// How many dimensions JSON makes of an array: that of the first elements.
fn dimensions(json: &str) -> u32 {
    let elements: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap_or_default();
    let inner = elements.first().filter(|first| first.get().starts_with('['));
    1 + inner.map_or(0, |first| dimensions(first.get()))
}

/// The same for an array: its elements one by one.
fn rewrite_elements(
    client: &mut Client,
    element: &ColumnType,
    json: &str,
    dimensions: u32,
    met: &mut BTreeSet<&'static str>,
) -> Option<Result<String, String>> {
    let elements: Vec<Box<RawValue>> = serde_json::from_str(json).ok()?;
    let (mut texts, mut any) = (Vec::new(), false);
    for text in elements.iter().map(|element| element.get()) {
        let read = if dimensions > 1 {
            rewrite_elements(client, element, text, dimensions - 1, met)
        } else {
            rewrite(client, element, text, ELEMENT_DIFFERENCES, met)
        };
        any |= read.is_some();
        match read {
            Some(Ok(text)) => texts.push(text),
            Some(Err(error)) => return Some(Err(error)),
            None => texts.push(text.to_owned()),
        }
    }
    any.then(|| Ok(format!("[{}]", texts.join(","))))
}

/// Whether what we did is what was to happen.
fn agrees(column: &ColumnType, ours: &Ours, fate: &Fate) -> bool {
    match (ours, fate) {
        (Ours::Row(ours), Ok(theirs)) => ours == theirs,
        (Ours::Refused(_), Err(_)) => true,
        // Our own encoders leave nothing for the server to refuse.
        (Ours::RefusedByServer(_), Err(_)) => column.left_to_server,
        _ => false,
    }
}

#[test]
fn the_documentation_lists_every_difference() {
    let document = std::fs::read_to_string(tests::paths::workspace("docs/types.md")).unwrap();
    let section = document.split("## Deliberate differences").nth(1).expect("the section");
    let table = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let documented: Vec<(String, String)> = table
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 7, "types, value, PostgreSQL, here, why: {line}");
            (cells[1].to_owned(), cells[2].to_owned())
        })
        .collect();
    assert_eq!(documented, differences::rows());
}

#[test]
fn every_type_makes_of_json_what_postgresql_makes_of_it() {
    let seed = seed();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut client = tests::postgres::connect(&Services::shared().postgres.database("types"));
    client.batch_execute(PRELUDE).unwrap();
    client.batch_execute(OUTCOME).unwrap();
    // So that text without an offset shows whose time zone it was read in.
    client.batch_execute("SET timezone = 'Asia/Kolkata'; SET xmloption = content").unwrap();
    let (mut pairs, mut met, mut wrong) = (0, BTreeSet::new(), Vec::new());
    for (number, column) in COLUMNS.iter().enumerate() {
        let sql = column.sql;
        let tables = format!(
            "CREATE TABLE r_{number} (v {sql}); CREATE TABLE b_{number} (id int, v {sql}); \
             CREATE TABLE t_{number} (id int, v {sql}, x int4range)"
        );
        client.batch_execute(&tables).unwrap();
        let values: Vec<String> = (0..VALUES).map(|_| values::value(&mut random, column)).collect();
        let binary = library::write(&mut client, &format!("b_{number}"), &values);
        let text = library::write(&mut client, &format!("t_{number}"), &values);
        let fates = reference(&mut client, number, column, &values);
        for (index, json) in values.iter().enumerate() {
            pairs += 1;
            let (ours, mut fate) = (&binary[index], fates[index].clone());
            if !agrees(column, ours, &fate)
                && let Some(other) = deliberate(&mut client, number, column, json, &mut met)
            {
                fate = other;
            }
            if !agrees(column, ours, &fate) {
                wrong.push(format!("{sql} {json}: {ours:?}, PostgreSQL: {fate:?}"));
            } else if !agrees(&ColumnType { left_to_server: true, ..*column }, &text[index], &fate) {
                wrong.push(format!("{sql} {json}: as text {:?}, PostgreSQL: {fate:?}", text[index]));
            }
        }
    }
    assert!(pairs >= 20_000, "{pairs} pairs");
    let count = wrong.len();
    wrong.truncate(200);
    assert!(wrong.is_empty(), "{count} of {pairs} differ (TYPES_SEED={seed}):\n{}", wrong.join("\n"));
    let listed: BTreeSet<&str> = DIFFERENCES.iter().chain(OF_WHOLES).map(|row| row.value).collect();
    assert_eq!(met, listed, "a difference that is listed was met by none of {pairs} pairs");
}
