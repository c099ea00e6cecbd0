//! The table of dead letters: nothing commits without it, and `dead-letters` lists, replays and discards what is in it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, Services, SinkConfig, wait};

const PATIENCE: Duration = Duration::from_secs(60);

fn good(id: i32) -> Record {
    Record::json(&json!({"id": id, "n": id}))
}

fn bad(id: i32, n: &str) -> Record {
    Record::keyed(format!("k{id}"), json!({"id": id, "n": n}).to_string()).header("h", b"\xff".to_vec())
}

struct Scene {
    topic: String,
    url: String,
    client: postgres::Client,
    config: SinkConfig,
}

impl Scene {
    /// A topic and its table; `ddl` may say more of the database.
    fn new(name: &str, ddl: &str) -> Self {
        let Services { kafka, postgres } = Services::shared();
        let topic = kafka.topic(name, 1);
        let url = postgres.database(name);
        let mut client = tests::postgres::connect(&url);
        client.batch_execute(ddl).unwrap();
        let config = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t").pk_fields(&["id"]);
        Self { topic, url, client, config }
    }

    fn produce(&self, records: impl IntoIterator<Item = Record>) {
        Services::shared().kafka.produce(&self.topic, records);
    }

    fn run(&self) {
        self.config.finish(&["run", "--until-end"], PATIENCE).expect_code(0);
    }

    /// `dead-letters ARGS… --output json`
    #[track_caller]
    fn command(&self, args: &[&str]) -> Value {
        let args = [&["dead-letters"], args, &["--output", "json"]].concat();
        let done = self.config.finish(&args, PATIENCE).expect_code(0);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
    }

    fn count(&mut self, table: &str) -> i64 {
        self.client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
    }

    fn position(&mut self) -> i64 {
        self.client.query_one("SELECT next_offset FROM sink_offsets", &[]).unwrap().get(0)
    }
}

const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, n int)";

/// While `broken`, nothing commits and /readyz holds `words`; after `mended`, everything is there. The sink is `role`,
/// when one is given.
#[track_caller]
fn waits_for_its_table(name: &str, role: Option<&str>, broken: &str, words: &str, mended: &str) {
    let mut scene = Scene::new(name, DDL);
    if let Some(role) = role {
        let sql = format!(
            "CREATE ROLE {role} LOGIN; GRANT ALL ON t TO {role}; GRANT ALL ON SCHEMA public TO {role}"
        );
        scene.client.batch_execute(&sql).unwrap();
        scene.config = scene.config.set("postgres.url", scene.url.replace("postgres@", &format!("{role}@")));
    }
    let sink = scene.config.run();
    scene.produce((0..10).map(good));
    wait::until(PATIENCE, "rows", || scene.count("t") == 10);
    scene.client.batch_execute(broken).unwrap();
    scene.produce((10..15).map(good).chain([bad(15, "many")]));
    let answer = || sink.get("/readyz").map_or((0, String::new()), |answer| answer);
    wait::holds(PATIENCE, "/readyz says why", answer, |(status, body)| {
        *status == 503 && body.contains("dead letters cannot be stored in table") && body.contains(words)
    });
    let failed = sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= 1.0);
    sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= failed + 1.0);
    assert_eq!((scene.count("t"), scene.position()), (10, 10), "nothing has been committed");
    scene.client.batch_execute(mended).unwrap();
    wait::until(PATIENCE, "the rest", || (scene.count("t"), scene.position()) == (15, 16));
    assert_eq!(scene.count("sink_dead_letters"), 1);
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), 16);
}

#[test]
fn nothing_commits_while_the_table_of_dead_letters_is_gone_and_it_is_made_again_once_that_is_allowed() {
    waits_for_its_table(
        "letterless",
        Some("letterless"),
        "DROP TABLE sink_dead_letters; REVOKE CREATE ON SCHEMA public FROM letterless",
        "does not exist (42P01)",
        "GRANT CREATE ON SCHEMA public TO letterless",
    );
}

#[test]
fn nothing_commits_while_the_table_of_dead_letters_may_not_be_written() {
    waits_for_its_table(
        "unprivileged",
        Some("readerless"),
        "ALTER TABLE sink_dead_letters OWNER TO postgres; REVOKE ALL ON sink_dead_letters FROM readerless",
        "permission denied for table sink_dead_letters (42501)",
        "GRANT INSERT, SELECT, UPDATE ON sink_dead_letters TO readerless",
    );
}

#[test]
fn a_letter_that_its_table_refuses_is_no_records_fault() {
    waits_for_its_table(
        "choosy",
        None,
        "ALTER TABLE sink_dead_letters ADD CONSTRAINT choosy CHECK (reason <> 'wrong_type')",
        "choosy",
        "ALTER TABLE sink_dead_letters DROP CONSTRAINT choosy",
    );
}

#[test]
fn letters_are_listed_by_every_filter_and_discarded_only_when_told_so() {
    let mut scene = Scene::new("listed", DDL);
    scene.produce([good(0), bad(1, "many"), Record::new("{"), good(3), bad(4, "few")]);
    scene.run();
    let list = scene.command(&["list"]);
    assert_eq!(list["total"], 3);
    let first = &list["dead_letters"][0];
    assert_eq!((&first["topic"], &first["offset"]), (&json!(scene.topic), &json!(1)));
    assert_eq!((&first["reason"], &first["key"]), (&json!("wrong_type"), &json!("k1")));
    assert_eq!(first["payload"], json!({"id": 1, "n": "many"}).to_string());
    assert_eq!(first["headers"], json!([{"name": "h", "value": {"hex": "ff"}}]));
    let topic = scene.topic.clone();
    for (filter, total) in [
        (vec!["--topic", topic.as_str()], 3),
        (vec!["--topic", "another"], 0),
        (vec!["--partition", "0"], 3),
        (vec!["--partition", "1"], 0),
        (vec!["--offset", "2"], 1),
        (vec!["--reason", "wrong_type"], 2),
        (vec!["--reason", "wrong_type", "--offset", "2"], 0),
        (vec!["--since", "1h"], 3),
        (vec!["--since", "2199-01-01T00:00:00Z"], 0),
    ] {
        let list = scene.command(&[&["list"], filter.as_slice()].concat());
        assert_eq!(list["total"], total, "{filter:?}");
        assert_eq!(list["dead_letters"].as_array().map(Vec::len), Some(total), "{filter:?}");
    }
    let text = scene.config.finish(&["dead-letters", "list", "--limit", "1"], PATIENCE).expect_code(0).stdout;
    assert!(text.contains(&format!("{topic}[0] at offset 1")) && text.contains("wrong_type: "), "{text}");
    assert!(text.contains("3 dead letters, 2 of them not shown"), "{text}");

    let dry =
        scene.config.finish(&["dead-letters", "discard", "--reason", "wrong_type"], PATIENCE).expect_code(0);
    assert!(
        dry.stdout.contains("2 dead letters\nNothing was deleted. Run again with --execute"),
        "{}",
        dry.stdout
    );
    assert_eq!(scene.count("sink_dead_letters"), 3);
    assert_eq!(scene.command(&["discard", "--reason", "wrong_type", "--execute"])["discarded"], 2);
    assert_eq!(scene.count("sink_dead_letters"), 1);
    assert_eq!((scene.count("t"), scene.position()), (2, 5), "rows and positions are as they were");
    // Letters of another connector are not ours.
    let other = scene.config.clone().name("another");
    let args = ["dead-letters", "discard", "--execute", "--output", "json"];
    assert!(other.finish(&args, PATIENCE).expect_code(0).stdout.contains("\"discarded\": 0"));
}

#[test]
fn a_replay_writes_what_passes_now_and_leaves_the_rest_with_its_new_reason() {
    let mut scene = Scene::new("replayed", DDL);
    // More than one batch of them, and one that no table helps.
    let refused = |id: i32| if id == 700 { Record::new("{") } else { bad(id, "many") };
    scene.produce((0..100).map(good).chain((100..800).map(refused)).chain((800..1_000).map(good)));
    scene.config = scene.config.set("errors.breaker_ratio", 1.0);
    scene.run();
    assert_eq!((scene.count("t"), scene.count("sink_dead_letters")), (300, 700));
    assert_eq!(scene.command(&["replay"])["failed"], 700, "nothing has been mended");
    assert_eq!((scene.count("t"), scene.count("sink_dead_letters")), (300, 700));

    scene.client.batch_execute("ALTER TABLE t ALTER COLUMN n TYPE varchar(4)").unwrap();
    scene.client.batch_execute("UPDATE sink_dead_letters SET payload = '{\"id\": 150, \"n\": \"too many\"}' WHERE \"offset\" = 150").unwrap();
    let replayed = scene.command(&["replay", "--reason", "wrong_type"]);
    assert_eq!((&replayed["rows_written"], &replayed["failed"]), (&json!(698), &json!(1)), "{replayed}");
    let left = scene.command(&["list"]);
    let left: Vec<_> =
        left["dead_letters"].as_array().unwrap().iter().map(|l| (&l["offset"], &l["reason"])).collect();
    assert_eq!(left, [(&json!(150), &json!("too_long")), (&json!(700), &json!("invalid_json"))]);
    assert_eq!((scene.count("t"), scene.position()), (998, 1_000));
    // What is left keeps its bytes, key and headers.
    let row = scene
        .client
        .query_one("SELECT key, headers::text FROM sink_dead_letters WHERE \"offset\" = 150", &[]);
    let row = row.unwrap();
    assert_eq!(row.get::<_, Vec<u8>>(0), b"k150");
    assert_eq!(row.get::<_, &str>(1), "[{\"name\": \"h\", \"value\": {\"hex\": \"ff\"}}]");
}

#[test]
fn letters_that_the_server_refused_are_replayed_one_by_one_where_it_still_refuses_some() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, n int CONSTRAINT strict CHECK (n >= 0))";
    let mut scene = Scene::new("replayed_refused", ddl);
    let n = |id: i32| if id % 10 == 7 { -1 - id / 70 } else { id };
    scene.produce((0..100).map(|id| Record::json(&json!({"id": id, "n": n(id)}))));
    scene.run();
    let list = scene.command(&["list", "--reason", "refused"]);
    assert_eq!((&list["total"], scene.count("t"), scene.position()), (&json!(10), 90, 100));
    let first = &list["dead_letters"][0];
    assert_eq!((&first["sqlstate"], &first["constraint"]), (&json!("23514"), &json!("strict")));
    // Those from offset 77 on hold -2: they fail again, for another reason.
    scene
        .client
        .batch_execute("ALTER TABLE t DROP CONSTRAINT strict, ADD CONSTRAINT milder CHECK (n >= -1)")
        .unwrap();
    let replayed = scene.command(&["replay"]);
    assert_eq!((&replayed["rows_written"], &replayed["failed"]), (&json!(7), &json!(3)), "{replayed}");
    let left = scene.command(&["list"]);
    let left: Vec<_> = left["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| (letter["offset"].as_i64().unwrap(), letter["constraint"].as_str().unwrap()))
        .collect();
    assert_eq!(left, [(77, "milder"), (87, "milder"), (97, "milder")]);
    assert_eq!((scene.count("t"), scene.position()), (97, 100), "positions are as they were");
}

#[test]
fn a_letter_that_still_meets_an_error_of_the_operators_does_not_keep_the_others_from_a_replay() {
    let mut scene = Scene::new(
        "stumbling",
        "CREATE TABLE t (id int PRIMARY KEY, n int); \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.n < 0 THEN PERFORM 1 FROM missing; ELSIF NEW.n = 7 THEN RAISE EXCEPTION 'no'; END IF; \
           RETURN NEW; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stumble()",
    );
    let record = |id: i32, n: i32| Record::json(&json!({"id": id, "n": n}));
    scene.produce((0..20).map(|id| {
        record(
            id,
            if id == 3 {
                -1
            } else if id % 5 == 0 {
                7
            } else {
                id + 100
            },
        )
    }));
    scene.run();
    assert_eq!((scene.count("t"), scene.count("sink_dead_letters")), (15, 5));
    let mend = "CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF NEW.n < 0 THEN PERFORM 1 FROM missing; END IF; RETURN NEW; END $$";
    scene.client.batch_execute(mend).unwrap();
    let replayed = scene.command(&["replay"]);
    assert_eq!((&replayed["rows_written"], &replayed["failed"]), (&json!(4), &json!(1)), "{replayed}");
    let left = scene.command(&["list"]);
    assert_eq!(
        (&left["total"], &left["dead_letters"][0]["sqlstate"]),
        (&json!(1), &json!("42P01")),
        "{left}"
    );
    assert_eq!(scene.count("t"), 19);
}

#[test]
fn a_letter_alone_that_meets_an_error_of_the_operators_stays_with_its_new_reason() {
    let mut scene = Scene::new(
        "lonely",
        "CREATE TABLE t (id int PRIMARY KEY, n int); \
         CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
         CREATE TRIGGER stumble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stumble()",
    );
    scene.produce([good(1)]);
    scene.run();
    let mut replayed = |body: &str| {
        let change = format!(
            "CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$"
        );
        scene.client.batch_execute(&change).unwrap();
        let replayed = scene.command(&["replay"]);
        let left = scene.command(&["list"]);
        (replayed["failed"].clone(), left["total"].clone(), left["dead_letters"][0]["sqlstate"].clone())
    };
    assert_eq!(replayed("RAISE EXCEPTION 'still no'"), (json!(1), json!(1), json!("P0001")));
    assert_eq!(replayed("PERFORM 1 FROM missing"), (json!(1), json!(1), json!("42P01")));
    assert_eq!(replayed("NULL"), (json!(0), json!(0), Value::Null));
    assert_eq!(scene.count("t"), 1);
}

#[test]
fn replays_side_by_side_and_killed_write_every_letter_once() {
    let ddl = "CREATE TABLE t (id int, n int)";
    let mut scene = Scene::new("replayed_twice", ddl);
    scene.config = scene.config.insert_mode("insert").pk_mode("none").set("errors.breaker_ratio", 1.0);
    scene.config = scene.config.set("sink.pk_fields", Vec::<toml::Value>::new());
    scene.produce((0..5_000).map(|id| bad(id, "many")));
    scene.run();
    assert_eq!((scene.count("t"), scene.count("sink_dead_letters")), (0, 5_000));
    scene.client.batch_execute("ALTER TABLE t ALTER COLUMN n TYPE text").unwrap();
    // Held inside its first transaction, and killed there.
    let mut holder = tests::postgres::connect(&scene.url);
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE t IN SHARE MODE").unwrap();
    let killed = scene.config.start(&["dead-letters", "replay"]);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut watcher = tests::postgres::connect(&scene.url);
    wait::until(PATIENCE, "the replay waits", || {
        watcher.query_one(waiting, &[]).unwrap().get::<_, i64>(0) == 1
    });
    killed.sigkill();
    held.rollback().unwrap();
    wait::until(PATIENCE, "its session is gone", || {
        watcher.query_one(waiting, &[]).unwrap().get::<_, i64>(0) == 0
    });
    let replays: Vec<_> = (0..3).map(|_| scene.config.start(&["dead-letters", "replay"])).collect();
    replays.iter().for_each(|replay| drop(replay.wait(PATIENCE).expect_code(0)));
    let row = scene.client.query_one("SELECT count(*), count(DISTINCT id) FROM t", &[]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (5_000, 5_000));
    assert_eq!(scene.count("sink_dead_letters"), 0);
}

#[test]
fn letters_in_a_topic_are_not_for_this_command() {
    let scene = Scene::new("elsewhere", DDL);
    let config = scene.config.set("errors.dead_letters", "topic").set("errors.dead_letter_topic", "letters");
    let run = config.finish(&["dead-letters", "list"], PATIENCE).expect_code(2);
    assert!(run.stderr.contains("the dead letters are in the Kafka topic letters"), "{}", run.stderr);
}
