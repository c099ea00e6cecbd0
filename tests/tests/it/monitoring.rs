//! Alerts and dashboards ask for what there is: every expression runs on a real Prometheus that has scraped a loaded
//! sink and a producer. No Grafana draws the dashboards here; their structure is checked instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tests::exporter::Exporter;
use tests::monitoring::{self, rules};
use tests::prometheus::promtool;
use tests::{ProducerConfig, Prometheus, Record, Services, SinkConfig, Target, paths, wait};

const PATIENCE: Duration = Duration::from_secs(90);

/// Expressions of the dashboards that have nothing to show in this test, and why.
const ABSENT: [(&str, &str); 4] = [
    ("sink_partition_stopped", "no partition of this test has stopped"),
    ("kube_cronjob_status_last_successful_time", "kube-state-metrics needs a Kubernetes"),
    ("sink_rows_deleted_total", "no record of this test deletes a row"),
    ("/ (- sum by (connector, topic) (deriv(sink_lag_records", "there is no backlog that shrinks"),
];

/// What Prometheus reads of others: a process in the same namespace, and a CronJob elsewhere.
const FOREIGN: &str = "process_cpu_seconds_total 5
process_resident_memory_bytes 1000000
process_start_time_seconds 1700000000
kube_cronjob_created{namespace=\"elsewhere\",cronjob=\"backup\"} 1700000000
kube_cronjob_status_last_successful_time{namespace=\"elsewhere\",cronjob=\"backup\"} 1700000000
";

/// A panel of a dashboard, or a variable of it.
struct Asked {
    place: String,
    expression: String,
}

fn dashboards() -> Vec<(String, Value)> {
    let dir = paths::workspace("helm/livescores/files/dashboards");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.display().to_string(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// Every expression of a dashboard; of a variable, one that has a series for each of its values.
fn asked(dashboard: &Value) -> Vec<Asked> {
    let mut all = Vec::new();
    for variable in list(dashboard, "/templating/list").iter().filter(|v| v["type"] == "query") {
        let query = text(variable, "/query/query");
        let inside = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')).expect(query);
        let (selector, label) = inside.rsplit_once(", ").expect(query);
        all.push(Asked {
            place: format!("variable {}", text(variable, "/name")),
            expression: format!("count by ({label}) ({selector})"),
        });
    }
    for panel in list(dashboard, "/panels") {
        for target in list(panel, "/targets") {
            all.push(Asked {
                place: text(panel, "/title").to_owned(),
                expression: text(target, "/expr").to_owned(),
            });
        }
    }
    for annotation in list(dashboard, "/annotations/list") {
        all.push(Asked {
            place: format!("annotation {}", text(annotation, "/name")),
            expression: text(annotation, "/expr").to_owned(),
        });
    }
    all
}

/// The names of the variables in an expression.
fn variables(expression: &str) -> BTreeSet<&str> {
    let name = |part: &'_ str| part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
    expression.split('$').skip(1).map(|part| &part[..name(part)]).collect()
}

#[test]
fn every_expression_returns_data_of_a_loaded_sink_and_producer() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("monitored", 2);
    let config = SinkConfig::new(kafka.bootstrap(), postgres.database("monitored"))
        .topic(&topic)
        .table("ipl_livescores")
        .pk_fields(&["match_id"])
        .set("sink.ddl_file", "config/ipl_livescores.sql");
    let sink = config.run();
    let producer = ProducerConfig::new(kafka.bootstrap(), &topic).start(&["run", "--interval", "200ms"]);
    let foreign = Exporter::start(FOREIGN.to_owned());
    let targets = [
        Target::new("sink-connector", sink.http()),
        Target::new("producer", producer.http()),
        Target::new("node", foreign.address()),
    ];
    let prometheus = Prometheus::start(&targets, &rules::plain().unwrap()).unwrap();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows > 0.0);

    let values = BTreeMap::from([
        ("namespace", "test"),
        ("connector", config.connector()),
        ("topic", &*topic),
        ("partition", ".*"),
        ("__rate_interval", "20s"),
        ("__range", "1m"),
    ]);
    let substitute = |expression: &str| {
        // The longest first: one name may begin another.
        values
            .iter()
            .rev()
            .fold(expression.to_owned(), |e, (name, value)| e.replace(&format!("${name}"), value))
    };
    let all: Vec<Asked> = dashboards().iter().flat_map(|(_, dashboard)| asked(dashboard)).collect();
    assert!(all.len() > 40, "{}", all.len());
    let is_absent = |asked: &Asked| ABSENT.iter().any(|(part, _)| asked.expression.contains(part));
    let without_data = || {
        // What is refused and what is skipped has to happen within the window.
        kafka.produce(&topic, [Record::new("nonsense"), Record::tombstone("key")]);
        let mut without = Vec::new();
        for one in all.iter().filter(|one| !is_absent(one)) {
            if prometheus.query(&substitute(&one.expression)).unwrap().is_empty() {
                without.push(format!("{}: {}", one.place, one.expression));
            }
        }
        without
    };
    wait::holds(PATIENCE, "every expression returns data", without_data, Vec::is_empty);
    for (part, why) in ABSENT {
        assert!(all.iter().any(|one| one.expression.contains(part)), "nothing asks for {part}: {why}");
    }
    for one in all.iter().filter(|one| is_absent(one)) {
        prometheus.query(&substitute(&one.expression)).unwrap();
    }
    assert_nothing_is_foreign(&prometheus, foreign.address());

    let rules = wait::until_ok(PATIENCE, "every rule was evaluated", || {
        let rules = prometheus.rules()?;
        let healthy = rules.iter().all(|rule| rule["health"] == "ok");
        anyhow::ensure!(healthy, "{rules:?}");
        Ok::<_, anyhow::Error>(rules)
    });
    assert_eq!(rules.len(), 13);
    // Nothing is wrong, so the alerts find nothing; what they look at is there.
    for rule in &rules {
        for selector in selectors(text(rule, "/query")) {
            let found = !prometheus.query(&selector).unwrap().is_empty();
            assert_eq!(found, !selector.starts_with("kube_"), "{selector} of {}", rule["name"]);
        }
    }
    sink.sigterm();
    sink.wait(PATIENCE).expect_code(0);
}

/// Asserts that the dashboards show nothing of another process or CronJob, even if all values of their variables are chosen.
#[track_caller]
fn assert_nothing_is_foreign(prometheus: &Prometheus, address: &str) {
    assert_eq!(prometheus.query("process_cpu_seconds_total{job=\"node\"}").unwrap().len(), 1);
    for (file, dashboard) in dashboards() {
        let mut values = vec![("__rate_interval", "20s"), ("__range", "1m")];
        let variables =
            list(&dashboard, "/templating/list").iter().filter(|variable| variable["type"] == "query");
        values.extend(variables.map(|variable| (text(variable, "/name"), text(variable, "/allValue"))));
        for Asked { place, expression } in asked(&dashboard) {
            let chosen =
                values.iter().fold(expression, |e, (name, value)| e.replace(&format!("${name}"), value));
            for sample in prometheus.query(&chosen).unwrap() {
                let labels = &sample["metric"];
                let is_foreign = labels["instance"] == address
                    || labels["cronjob"] == "backup"
                    || labels["namespace"] == "elsewhere";
                assert!(!is_foreign, "{file}: {place} shows {labels}");
            }
        }
    }
}

/// The series that an expression looks at, without what is done with them.
fn selectors(expression: &str) -> Vec<String> {
    let begins =
        |rest: &str| ["sink_", "producer_", "kube_", "up{"].iter().any(|start| rest.starts_with(start));
    let mut found = Vec::new();
    let mut before = ' ';
    for (at, character) in expression.char_indices() {
        let rest = &expression[at..];
        if !before.is_alphanumeric() && before != '_' && begins(rest) {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let labels = if rest[name..].starts_with('{') { rest[name..].find('}').unwrap() + 1 } else { 0 };
            found.push(rest[..name + labels].to_owned());
        }
        before = character;
    }
    found
}

#[test]
fn dashboards_have_ids_units_places_and_variables_in_order() {
    let sections = sections();
    let linked = fs::read_to_string(paths::workspace("helm/livescores/files/runbook.json")).unwrap();
    let linked: Value = serde_json::from_str(&linked).unwrap();
    let mut links = 0;
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(dashboard["id"].is_null() && uids.insert(text(&dashboard, "/uid").to_owned()), "{file}");
        let variables_there: BTreeSet<&str> =
            list(&dashboard, "/templating/list").iter().map(|variable| text(variable, "/name")).collect();
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard, "/panels") {
            let title = text(panel, "/title");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: the id of {title} is another's");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(x + w <= 24, "{file}: {title} does not fit");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{file}: {title} lies on another panel");
            }
            if panel["type"] == "row" {
                continue;
            }
            let known = ["stat", "timeseries", "heatmap", "table"].contains(&text(panel, "/type"));
            assert!(known, "{file}: {title} is of a type that not every Grafana has");
            assert!(
                !text(panel, "/description").is_empty()
                    && !text(panel, "/fieldConfig/defaults/unit").is_empty()
            );
            assert!(!list(panel, "/targets").is_empty(), "{file}: {title} shows nothing");
            assert_eq!(text(panel, "/datasource/uid"), "${datasource}", "{file}: {title}");
            for target in list(panel, "/targets") {
                assert_eq!(text(target, "/datasource/uid"), "${datasource}", "{file}: {title}");
            }
            assert!(
                list(panel, "/links").is_empty(),
                "{file}: {title} has a link, to what only the chart knows"
            );
            assert!(!text(panel, "/fieldConfig/defaults/noValue").is_empty(), "{file}: {title}");
            let name = file.rsplit('/').next().unwrap_or_default();
            if let Some(section) = linked[name][panel["id"].to_string()].as_str() {
                assert!(sections.contains(section), "{file}: {title} links to {section}, which is not there");
                links += 1;
            }
        }
        for Asked { place, expression } in asked(&dashboard) {
            for variable in variables(&expression) {
                let known = variables_there.contains(variable) || variable.starts_with("__");
                assert!(known, "{file}: {place} uses ${variable}");
            }
            let windows = expression.matches('[').count();
            let chosen =
                expression.matches("[$__rate_interval]").count() + expression.matches("[$__range]").count();
            assert_eq!(windows, chosen, "{file}: {place} has a window of its own");
        }
    }
    assert_eq!(uids.len(), 2);
    let all = linked.as_object().unwrap().values().filter_map(Value::as_object).map(serde_json::Map::len);
    assert_eq!(all.sum::<usize>(), links, "a section of the runbook is that of no panel");
}

/// The anchors of the runbook's sections.
fn sections() -> BTreeSet<String> {
    let runbook = fs::read_to_string(paths::workspace("docs/runbook.md")).unwrap();
    runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect()
}

#[test]
fn every_command_of_the_runbook_is_one_that_the_sink_takes() {
    let runbook = fs::read_to_string(paths::workspace("docs/runbook.md")).unwrap();
    let commands: Vec<&str> = runbook.lines().filter(|line| line.starts_with("sink-connector ")).collect();
    assert!(commands.len() > 4, "{commands:?}");
    for command in commands {
        let words = command.split('#').next().unwrap_or_default().split_whitespace().skip(1);
        // Asked for help, it still refuses a flag that it does not know.
        let words = words.map(|word| if word == "P" { "0" } else { word }).chain(["--help"]);
        assert_passes(
            &Command::new(paths::binary("sink-connector", "SINK_BIN")).args(words).output().unwrap(),
        );
    }
}

#[test]
fn the_delivered_alerts_and_dashboards_are_what_their_sources_say() {
    for (path, wanted) in monitoring::files().unwrap() {
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "{} is stale: `make monitoring` renews it", path.display());
    }
}

#[track_caller]
fn assert_passes(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn every_alert_has_a_section_of_the_runbook_and_unit_tests_that_fire_it_and_that_do_not() {
    assert_passes(&promtool(&["check", "rules", "monitoring/rules.yaml"]).unwrap());
    assert_passes(&promtool(&["test", "rules", "monitoring/rules.test.yaml"]).unwrap());
    let rules = fs::read_to_string(paths::workspace("monitoring/rules.yaml")).unwrap();
    let cases = fs::read_to_string(paths::workspace("monitoring/rules.test.yaml")).unwrap();
    let sections = sections();
    let after = |line: &str, key: &str| {
        line.trim().trim_start_matches("- ").strip_prefix(key).map(|v| v.trim().to_owned())
    };
    let alerts: Vec<String> = rules.lines().filter_map(|line| after(line, "alert:")).collect();
    assert_eq!(alerts.len(), 13);
    assert!(!rules.contains("runbook_url") && !rules.contains("example.com"), "a link that leads nowhere");
    let source = fs::read_to_string(paths::workspace("helm/livescores/files/rules.yaml")).unwrap();
    let urls: Vec<String> = source.lines().filter_map(|line| after(line, "runbook_url:")).collect();
    for (alert, url) in alerts.iter().zip(&urls) {
        let section = alert.to_lowercase();
        assert!(url.ends_with(&format!("#{section}")) && sections.contains(&section), "{alert}: {url}");
        let (mut fires, mut does_not) = (0, 0);
        let lines: Vec<&str> = cases.lines().collect();
        for pair in lines.windows(2) {
            if after(pair[0], "alertname:").as_ref() == Some(alert) {
                match after(pair[1], "exp_alerts:").as_deref() {
                    Some("[]") => does_not += 1,
                    Some("") => fires += 1,
                    other => panic!("{alert}: {other:?}"),
                }
            }
        }
        assert!(fires > 0 && does_not > 0, "{alert}: {fires} cases fire it, {does_not} do not");
    }
    assert_eq!(urls.len(), alerts.len());
}
