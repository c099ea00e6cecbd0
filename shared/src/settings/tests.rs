//! Layers, checks and messages, as a user meets them.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::*;

#[derive(Debug, Deserialize, Serialize, JsonSchema, SmartDefault)]
#[serde(default, deny_unknown_fields)]
struct Demo {
    /// What it is called.
    #[default = "demo"]
    name: String,
    kafka: Kafka,
    batch: Batch,
    sink: Table,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Table>", extend("x-section" = "sink"))]
    topics: BTreeMap<String, toml::Table>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema, Default)]
#[serde(default, deny_unknown_fields)]
struct Kafka {
    #[schemars(extend("x-default" = "`a`, unless something"))]
    topics: Option<Vec<String>>,
    reset: Reset,
    #[schemars(schema_with = "properties::schema")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Reset {
    /// At the first record.
    #[default]
    Earliest,
    /// After the last record.
    Latest,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema, PartialEq, SmartDefault)]
#[serde(default, deny_unknown_fields)]
struct Batch {
    #[default = 5000]
    #[schemars(range(min = 1, max = 100_000), extend("x-unit" = "rows"))]
    max_rows: usize,
    /// A share,
    /// in two lines.
    #[default = 0.5]
    #[schemars(range(min = 0, max = 1))]
    ratio: f64,
    #[serde(rename = "linger_ms", with = "millis")]
    #[schemars(with = "u64", extend("x-unit" = "ms"))]
    #[default(Duration::from_millis(50))]
    linger: Duration,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema, SmartDefault)]
#[serde(default, deny_unknown_fields)]
struct Table {
    #[default = "t"]
    table: String,
    #[default = true]
    unwrap: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rename: BTreeMap<String, String>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::of::<Demo>("DEMO"));

const NO_VARIABLES: [(&str, &str); 0] = [];

fn layers(text: &str) -> Layers {
    Layers::new(&SCHEMA).text("demo.toml", text)
}

fn load(layers: Layers) -> Demo {
    layers.load::<Demo>().unwrap().finish(Vec::new()).unwrap()
}

fn errors(layers: Layers) -> Vec<String> {
    let errors = layers.load::<Demo>().and_then(|loaded| loaded.finish(Vec::new())).unwrap_err();
    errors.0.iter().map(ToString::to_string).collect()
}

#[test]
fn the_structs_are_the_reference() {
    let expected = "\
| key | values | default | variable | what it is for |
|---|---|---|---|---|
| `batch.linger_ms` | from 0 ms | 50 ms | `DEMO__BATCH__LINGER_MS` |  |
| `batch.max_rows` | 1 to 100000 rows | 5000 rows | `DEMO__BATCH__MAX_ROWS` |  |
| `batch.ratio` | 0 to 1 | 0.5 | `DEMO__BATCH__RATIO` | A share, in two lines. |
| `kafka.properties` | properties | none | `DEMO__KAFKA__PROPERTIES__…` |  |
| `kafka.reset` | `earliest`, `latest` | `earliest` | `DEMO__KAFKA__RESET` |  |
| `kafka.topics` | list of text | `a`, unless something | `DEMO__KAFKA__TOPICS` |  |
| `name` | text | `demo` | `DEMO__NAME` | What it is called. |
| `sink.rename` | map of text | none | files only |  |
| `sink.table` | text | `t` | `DEMO__SINK__TABLE` |  |
| `sink.unwrap` | `true`, `false` | `true` | `DEMO__SINK__UNWRAP` |  |
| `topics` | tables with the keys of `[sink]` | none | files only |  |
";
    assert_eq!(reference::keys(&SCHEMA), expected);
}

#[test]
fn defaults_alone_make_settings() {
    let demo = load(Layers::new(&SCHEMA).environment(NO_VARIABLES));
    assert_eq!(demo.name, "demo");
    assert_eq!(demo.kafka.topics, None);
    assert_eq!(demo.kafka.reset, Reset::Earliest);
    assert_eq!(demo.batch, Batch { max_rows: 5000, ratio: 0.5, linger: Duration::from_millis(50) });
    assert!(demo.sink.unwrap && demo.sink.rename.is_empty() && demo.topics.is_empty());
}

#[test]
fn later_layers_win_key_by_key_and_lists_are_replaced() {
    let text = "name = 'one'\n[batch]\nmax_rows = 1\nlinger_ms = 1\n[kafka]\ntopics = ['a', 'b', 'c']";
    let demo = load(
        layers(text)
            .text("two.toml", "[batch]\nmax_rows = 2\n[kafka]\ntopics = ['d']")
            .environment([("DEMO__BATCH__LINGER_MS", "3"), ("demo__batch__ratio", "1"), ("OTHER__NAME", "x")])
            .flag("--name", "name", Some("four"))
            .flag("--absent", "sink.table", None),
    );
    assert_eq!(demo.name, "four");
    assert_eq!(demo.kafka.topics, Some(vec!["d".to_owned()]));
    assert_eq!(demo.batch, Batch { max_rows: 2, ratio: 1.0, linger: Duration::from_millis(3) });
}

#[test]
fn dotted_properties_survive_in_every_spelling() {
    let text = "[kafka.properties]\n'security.protocol' = 'SSL'\nsocket.timeout.ms = 9\n'log_level' = 3\n'client.id' = 'x'";
    let demo = load(layers(text).text("two.toml", "[kafka.properties]\n'a.b' = true").environment([
        ("DEMO__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL"),
        ("DEMO__KAFKA__PROPERTIES__LOG__LEVEL", "7"),
        ("DEMO__KAFKA__PROPERTIES__SASL_PASSWORD", " , "),
    ]));
    let expected = [
        ("a.b", "true"),
        ("client.id", "x"),
        ("log_level", "7"),
        ("sasl.password", " , "),
        ("security.protocol", "SASL_SSL"),
        ("socket.timeout.ms", "9"),
    ];
    assert_eq!(demo.kafka.properties, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

#[test]
fn lists_in_variables_are_comma_separated() {
    let topics = |value| {
        load(Layers::new(&SCHEMA).environment([("DEMO__KAFKA__TOPICS", value)])).kafka.topics.unwrap()
    };
    assert_eq!(topics("a, b,c"), ["a", "b", "c"]);
    assert!(topics("").is_empty());
}

#[test]
fn tables_keep_their_free_names() {
    let demo =
        load(layers("[topics.'my.topic']\ntable = 'x'\nrename = { a = 'b', 'c.d' = 'e' }\n[topics.y]"));
    let entry = &demo.topics["my.topic"];
    assert_eq!((entry["table"].as_str(), entry.get("unwrap")), (Some("x"), None));
    assert_eq!(entry["rename"]["c.d"].as_str(), Some("e"));
    assert!(demo.topics.contains_key("y"));
    // Nothing in a name is read as a path, and nothing changes its case or the type of a value.
    let names = "[topics.'Scores[0].x']\nrename = { 'A[1].B c' = 'D.e', '' = 'f' }\nunwrap = false";
    let demo = load(layers(names).text("two.toml", "[topics.'Scores[0].x']\ntable = 'T[2]'"));
    let entry = &demo.topics["Scores[0].x"];
    assert_eq!((entry["unwrap"].as_bool(), entry["table"].as_str()), (Some(false), Some("T[2]")));
    assert_eq!(
        (entry["rename"]["A[1].B c"].as_str(), entry["rename"][""].as_str()),
        (Some("D.e"), Some("f"))
    );
}

#[test]
fn every_error_is_reported_at_once_with_key_and_origin() {
    let text = "nmae = 'x'\nmax_rows = 1\nbatch.max_rows = 0\nbatch.linger_ms = '5'\nbatch.max_row = 1\n\
                kafka.reset = 'latst'\nkafka.topics = ['a', 1]\nsink = 5\nname = ''\n[topics.'a.b']\ntabel = 'x'\n\
                [topics.c]\nrename.x.y = 'z'\n[kafak]\nx = 1\n['batch.ratio']\ny = 1";
    let found = errors(
        layers(text)
            .environment([
                ("DEMO__BATCH__RATIO", "2"),
                ("DEMO__BATCH__MAX_ROWS", "many"),
                ("DEMO__TOPICS__X__TABLE", "t"),
                ("DEMO__SINK__RENAME__A", "b"),
                ("DEMO__KAFKA__RESTE", "latest"),
                ("DEMO__KAFKA", "latest"),
                ("DEMO__KAFKA__PROPERTIES", "a=b"),
                ("DEMO__SINK__UNWRAP", "yes"),
                ("demo__name", "b"),
                ("DEMO__NAME", "a"),
            ])
            .flag("--rows", "batch.max_rows", Some("-1")),
    );
    let expected = [
        "batch.linger_ms: expected an integer, found a string (file demo.toml)",
        "batch.max_row: unknown key; did you mean batch.max_rows? (file demo.toml)",
        "batch.max_rows: 0 is out of range: 1 to 100000 (file demo.toml)",
        "\"batch.ratio\": unknown key; did you mean batch.ratio? (file demo.toml)",
        "kafak: unknown key; did you mean kafka? (file demo.toml)",
        "kafka.reset: \"latst\" is not one of earliest, latest; did you mean \"latest\"? (file demo.toml)",
        "kafka.topics: element 1: expected a string, found an integer (file demo.toml)",
        "max_rows: unknown key; did you mean batch.max_rows? (file demo.toml)",
        "name: must not be empty (file demo.toml)",
        "nmae: unknown key; did you mean name? (file demo.toml)",
        "sink: is a section: write [sink] and its keys below (file demo.toml)",
        "topics.\"a.b\".tabel: unknown key; did you mean topics.\"a.b\".table? (file demo.toml)",
        "topics.c.rename.x: expected a string, found a table; quote a name that has dots (file demo.toml)",
        "batch.max_rows: expected an integer, found \"many\" (variable DEMO__BATCH__MAX_ROWS)",
        "batch.ratio: 2 is out of range: 0 to 1 (variable DEMO__BATCH__RATIO)",
        "kafka: is a section: a variable sets one key of it (variable DEMO__KAFKA)",
        "kafka.properties: is a map: name one property, such as DEMO__KAFKA__PROPERTIES__CLIENT_ID (variable DEMO__KAFKA__PROPERTIES)",
        "kafka.reste: unknown key; did you mean DEMO__KAFKA__RESET? (variable DEMO__KAFKA__RESTE)",
        "name: given twice, in different cases (variable demo__name)",
        "sink.rename.a: [sink.rename] comes from configuration files only (variable DEMO__SINK__RENAME__A)",
        "sink.unwrap: expected true or false, found \"yes\" (variable DEMO__SINK__UNWRAP)",
        "topics.x.table: [topics] comes from configuration files only (variable DEMO__TOPICS__X__TABLE)",
        "batch.max_rows: -1 is out of range: 1 to 100000 (flag --rows)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_kind_of_wrong_value_has_its_words() {
    let text = "kafka = { topics = 'a', reset = 1, properties = { 'a.b' = 1, a.b = 2, c = [], d = 'x' } }\n\
                batch = { ratio = '1', linger_ms = -1, max_rows = 1.5 }\ntopics = { a = 1, b = { unwrap = 1 } }\n\
                sink = { unwrap = 'yes', rename = { a = 1, b = ' ' }, tabel = 'x', table = [] }\nname = true";
    let expected = [
        "batch.linger_ms: -1 is too small: at least 0 (file demo.toml)",
        "batch.max_rows: expected an integer, found a fraction (file demo.toml)",
        "batch.ratio: expected a number, found a string (file demo.toml)",
        "kafka.properties.\"a.b\": given twice, once quoted and once as a table (file demo.toml)",
        "kafka.properties.c: expected a string, found a list (file demo.toml)",
        "kafka.reset: expected one of earliest, latest, found an integer (file demo.toml)",
        "kafka.topics: expected a list of strings, found a string (file demo.toml)",
        "name: expected a string, found a boolean (file demo.toml)",
        "sink.rename.a: expected a string, found an integer (file demo.toml)",
        "sink.rename.b: must not be empty (file demo.toml)",
        "sink.tabel: unknown key; did you mean sink.table? (file demo.toml)",
        "sink.table: expected a string, found a list (file demo.toml)",
        "sink.unwrap: expected true or false, found a string (file demo.toml)",
        "topics.a: expected a table with keys of [sink], found an integer (file demo.toml)",
        "topics.b.unwrap: expected true or false, found an integer (file demo.toml)",
    ];
    assert_eq!(errors(layers(text)), expected);
    let maps = errors(layers("sink.rename = 'x'\nkafka.properties = 1\ntopics = true"));
    let expected = [
        "kafka.properties: expected a table, found an integer (file demo.toml)",
        "sink.rename: expected a table, found a string (file demo.toml)",
        "topics: expected a table, found a boolean (file demo.toml)",
    ];
    assert_eq!(maps, expected);
    let elsewhere = errors(
        Layers::new(&SCHEMA)
            .environment([
                ("DEMO__KAFKA__RESET", "latst"),
                ("DEMO__KAFKA__TOPICS", "a,,b"),
                ("DEMO__NAME", " "),
            ])
            .flag("--ratio", "batch.ratio", Some("half"))
            .flag("--odd", "batch.odd", Some("1")),
    );
    let expected = [
        "kafka.reset: \"latst\" is not one of earliest, latest; did you mean \"latest\"? (variable DEMO__KAFKA__RESET)",
        "kafka.topics: element 1: must not be empty (variable DEMO__KAFKA__TOPICS)",
        "name: must not be empty (variable DEMO__NAME)",
        "batch.ratio: expected a number, found \"half\" (flag --ratio)",
        "batch.odd: unknown key (flag --odd)",
    ];
    assert_eq!(elsewhere, expected);
}

#[test]
fn a_broken_file_names_its_line_and_hides_its_text() {
    let found = errors(layers("name = 'x'\npassword = 'hunter2"));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("line 2") && found[0].ends_with("(file demo.toml)"), "{found:?}");
    assert!(!found[0].contains("hunter2") && !found[0].contains('\n'), "{found:?}");
    let absent = errors(Layers::new(&SCHEMA).file("/nowhere/demo.toml".as_ref()));
    assert!(
        absent[0].starts_with("cannot be read: ") && absent[0].contains("/nowhere/demo.toml"),
        "{absent:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_an_error_of_its_key() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let bad = [(OsString::from("DEMO__NAME"), OsString::from_vec(vec![0xff]))];
    let found = errors(Layers::new(&SCHEMA).environment(bad));
    assert_eq!(found, ["name: is not valid UTF-8 (variable DEMO__NAME)"]);
}

#[test]
fn a_rule_over_a_broken_key_is_not_reported() {
    let loaded = layers("kafka.reset = 'x'\nname = 'n'").load::<Demo>().unwrap();
    assert_eq!(loaded.origin("name"), Some("file demo.toml"));
    let rules = vec![RuleError::new(["sink.table", "kafka.reset"], "a"), RuleError::new(["name"], "b")];
    let found = loaded.finish(rules).unwrap_err();
    let lines: Vec<_> = found.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], "name: b (file demo.toml)");
}
