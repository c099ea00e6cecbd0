//! Live matches, from the producer to the tables of config/live.toml: a scoreboard that is always right, and its balls.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tests::{Output, ProducerConfig, World, paths};
use toml::Table;

const MINUTE: Duration = Duration::from_secs(60);
const SEED: &str = "42";
const MATCHES: &str = "6";

/// The example configuration, with the topics of the test.
fn world() -> World<'static> {
    let file = std::fs::read_to_string(paths::workspace("config/live.toml")).unwrap();
    let example: Table = file.parse().unwrap();
    let world = World::new("live").topics(2).partitions(3).table("");
    let topics: Vec<String> = world.topics.clone();
    let examples = example["kafka"]["topics"].as_array().unwrap().clone();
    world.set("sink.insert_mode", example["sink"]["insert_mode"].clone()).with(|mut config| {
        for (topic, name) in topics.iter().zip(examples) {
            for (key, value) in example["topics"][name.as_str().unwrap()].as_table().unwrap() {
                config = config.topic_set(topic, key, value.clone());
            }
        }
        config
    })
}

fn producer(world: &World<'_>) -> ProducerConfig {
    ProducerConfig::new(world.kafka.bootstrap(), world.topic()).set("producer.scenario", "live")
}

fn produce(world: &World<'_>, args: &[&str]) -> Output {
    let deliveries = ["--deliveries-topic", world.topics[1].as_str()];
    producer(world).finish(&[args, &deliveries].concat(), MINUTE).expect_code(0)
}

/// The last live score of each match.
fn final_scores(world: &World<'_>) -> BTreeMap<String, Value> {
    let args = ["print", "--seed", SEED, "--matches", MATCHES];
    let printed = producer(world).finish(&args, MINUTE).expect_code(0);
    let lines = printed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|score| (score["match_id"].as_str().unwrap().to_owned(), score)).collect()
}

fn table(world: &World<'_>) -> BTreeMap<String, Value> {
    let rows: Vec<String> = world.column("SELECT to_jsonb(s)::text FROM ipl_scoreboard s");
    let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap());
    rows.map(|row| (row["match_id"].as_str().unwrap().to_owned(), row)).collect()
}

/// `20` and `20.0` are one number, of which PostgreSQL prints the first.
fn assert_equal(table: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    assert!(table.keys().eq(expected.keys()), "{:?}, not {:?}", table.keys(), expected.keys());
    for (id, row) in table {
        for (column, value) in expected[id].as_object().unwrap() {
            let same = match (row[column].as_f64(), value.as_f64()) {
                (Some(one), Some(other)) => one == other,
                _ => row[column] == *value,
            };
            assert!(same, "{id} {column}: {} in the table, {value} in the match", row[column]);
        }
        assert_eq!(row.as_object().unwrap().len(), expected[id].as_object().unwrap().len());
    }
}

/// Matches whose balls do not sum to their live score, or of which balls are missing.
const WRONG: &str = "SELECT count(*) FROM ipl_scoreboard s JOIN LATERAL (SELECT \
    sum(runs_total) FILTER (WHERE batting_team = team1 AND NOT super_over) score1, \
    sum(runs_total) FILTER (WHERE batting_team = team2 AND NOT super_over) score2, \
    sum(wickets) FILTER (WHERE batting_team = team1 AND NOT super_over) wickets1, \
    sum(runs_extras) FILTER (WHERE NOT super_over) extras, \
    max(runs_total) most, max(delivery) last, count(*) balls \
    FROM ipl_deliveries d WHERE d.match_id = s.match_id) d ON true \
    WHERE (s.score1, s.score2, s.wickets1, s.extra_runs, s.version - 1, s.version - 1) \
    IS DISTINCT FROM (d.score1, d.score2, d.wickets1, d.extras, d.last, d.balls)";

#[test]
fn the_scoreboard_is_the_end_of_every_match_and_its_balls_sum_to_it() {
    let world = world();
    produce(&world, &["once", "--seed", SEED, "--matches", MATCHES]);
    let run = world.config.until_end();
    assert_eq!((run.count("dead_letters"), world.dead_letters()), (0, 0));
    let expected = final_scores(&world);
    assert_eq!(expected.len(), 6);
    assert!(expected.values().all(|score| score["match_status"] == "Completed"), "{expected:?}");
    assert_equal(&table(&world), &expected);
    assert_eq!(world.one::<i64>(WRONG), 0);
    let balls = world.count("ipl_deliveries");
    assert!(balls > 6 * 150, "{balls}");

    // Everything once more: the older records do not overwrite the newer rows.
    produce(&world, &["once", "--seed", SEED, "--matches", MATCHES]);
    let again = world.config.clone().set("batch.max_rows", 50).until_end();
    assert_eq!(again.count("records"), run.count("records"), "{}", again.summary());
    assert!(again.count("skipped") >= balls, "{}", again.summary());
    assert_equal(&table(&world), &expected);
    assert_eq!((world.one::<i64>(WRONG), world.count("ipl_deliveries")), (0, balls));
}

#[test]
fn the_table_never_goes_back_while_matches_are_played() {
    let world = world();
    let sink = world.sink();
    sink.wait_ready(MINUTE);
    let deliveries = ["--deliveries-topic", world.topics[1].as_str()];
    let args = ["run", "--seed", "7", "--matches", "4", "--rate", "200/s"];
    let playing = producer(&world).start(&[&args[..], &deliveries].concat());
    let (mut versions, mut changes) = (BTreeMap::<String, i64>::new(), 0);
    tests::wait::until(MINUTE, "the producer ends with the last match", || {
        let rows = world.client().query("SELECT match_id, version FROM ipl_scoreboard", &[]).unwrap();
        for row in rows {
            let (id, version): (String, i64) = (row.get(0), row.get(1));
            let before = versions.insert(id.clone(), version).unwrap_or_default();
            assert!(version >= before, "{id} went from {before} back to {version}");
            changes += usize::from(version > before);
        }
        !playing.is_running()
    });
    playing.wait(MINUTE).expect_code(0);
    assert!(changes > 8, "the table changed {changes} times while it was read");
    let completed = || world.count("ipl_scoreboard WHERE match_status = 'Completed'");
    tests::wait::holds(MINUTE, "all matches have ended in the table", completed, |ended| *ended == 4);
    tests::wait::holds(MINUTE, "with all of their balls", || world.one::<i64>(WRONG), |wrong| *wrong == 0);
    sink.stop(MINUTE);
}

#[test]
fn a_match_from_a_file_is_in_the_same_tables() {
    let world = world();
    let file = paths::workspace("producer/tests/data/1900001.json");
    produce(&world, &["replay", file.to_str().unwrap()]);
    let run = world.config.until_end();
    assert_eq!((run.count("dead_letters"), world.count("ipl_deliveries")), (0, 33));
    let row = &table(&world)["1900001"];
    assert_eq!((&row["score1"], &row["score2"], &row["version"]), (&25.into(), &25.into(), &34.into()));
    assert_eq!((&row["winning_team"], &row["start_time"]), (&"Hillside Harriers".into(), &Value::Null));
}

#[test]
fn a_file_that_is_no_match_is_named_and_nothing_is_published() {
    let world = world();
    let config = producer(&world);
    let output = config.finish(&["replay", "config/live.toml"], MINUTE).expect_code(1);
    assert!(
        output.stderr.contains("config/live.toml is not a match in cricsheet's JSON format"),
        "{}",
        output.stderr
    );
    assert_eq!(world.config.until_end().count("records"), 0);
}
