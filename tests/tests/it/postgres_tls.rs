//! TLS to PostgreSQL: every combination of mode, authority, name, expiry and client certificate, against what libpq does
//! with the same parameters.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::certificates::{Authority, Validity};
use tests::scratch::Scratch;
use tests::{Output, Postgres, PostgresOptions, SinkConfig, World};

const SOON: Duration = Duration::from_secs(60);

/// Files of clients, and two servers that differ in their certificates.
struct Setup {
    files: Scratch,
    current: Postgres,
    expired: Postgres,
}

/// A client's certificate, or a database that demands none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// The database takes anybody.
    NotAsked,
    Missing,
    Good,
    Encrypted,
    OfAnother,
    Expired,
}

/// What is combined.
#[derive(Clone, Copy, Debug)]
struct Case {
    mode: &'static str,
    root: Option<&'static str>,
    host: &'static str,
    expired: bool,
    client: Client,
}

impl Setup {
    fn new() -> Self {
        let files = Scratch::new("certificates").unwrap();
        let dir = files.path();
        let (ca, other) = (Authority::new("ca"), Authority::new("other"));
        ca.write(dir, "ca");
        other.write(dir, "other");
        ca.issue("postgres", &[], Validity::Current).write(dir, "good");
        ca.issue("postgres", &[], Validity::Current).write_encrypted(dir, "encrypted", "pass word");
        other.issue("postgres", &[], Validity::Current).write(dir, "another");
        ca.issue("postgres", &[], Validity::Expired).write(dir, "expired");
        let server = |validity| server(&ca, validity);
        Self { current: server(Validity::Current), expired: server(Validity::Expired), files }
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    fn url(&self, case: Case) -> String {
        let server = if case.expired { &self.expired } else { &self.current };
        let database = if case.client == Client::NotAsked { "postgres" } else { "guarded" };
        let mut url = format!(
            "postgresql://postgres@{}:{}/{database}?hostaddr=127.0.0.1&sslmode={}",
            case.host,
            server.port(),
            case.mode
        );
        if let Some(root) = case.root {
            url += &format!("&sslrootcert={}", self.path(root));
        }
        let name = match case.client {
            Client::NotAsked | Client::Missing => return url,
            Client::Good => "good",
            Client::Encrypted => "encrypted",
            Client::OfAnother => "another",
            Client::Expired => "expired",
        };
        let files = [self.path(&format!("{name}.crt")), self.path(&format!("{name}.key"))];
        url += &format!("&sslcert={}&sslkey={}", files[0], files[1]);
        if case.client == Client::Encrypted { url + "&sslpassword=pass%20word" } else { url }
    }
}

/// A server that demands a client certificate for the database `guarded`.
fn server(ca: &Authority, validity: Validity) -> Postgres {
    let postgres = Postgres::start(PostgresOptions::default()).unwrap();
    let data = postgres.dir().join("data");
    let (certificate, key) = ca.issue("server", &["localhost", "127.0.0.1"], validity).write(&data, "server");
    let root = ca.write(&data, "root");
    let (user, group) = tests::postgres::install::owner().unwrap().unzip();
    for file in [&certificate, &key, &root] {
        chown(file, user, group).unwrap();
    }
    let rules = "hostssl guarded all 127.0.0.1/32 trust clientcert=verify-ca\n\
                 hostnossl guarded all 127.0.0.1/32 reject\n\
                 host all all 127.0.0.1/32 trust\n";
    fs::write(data.join("pg_hba.conf"), rules).unwrap();
    postgres.create_database("guarded");
    postgres.stop_fast();
    let text = |path: &Path| path.display().to_string();
    postgres.set("ssl", "on");
    postgres.set("ssl_cert_file", &text(&certificate));
    postgres.set("ssl_key_file", &text(&key));
    postgres.set("ssl_ca_file", &text(&root));
    postgres.start_again();
    postgres
}

/// Whether libpq connects.
fn libpq(url: &str) -> bool {
    let output = Command::new("psql")
        .args(["-X", "-c", "SELECT 1", url])
        .env("HOME", "/nonexistent")
        .output()
        .expect("psql runs");
    output.status.success()
}

/// A command that needs PostgreSQL only.
fn sink(url: &str) -> SinkConfig {
    SinkConfig::new("127.0.0.1:1", url).topic("t").table("t").pk_fields(&["id"])
}

fn connect(config: &SinkConfig) -> Output {
    config.finish(&["dead-letters", "list"], SOON)
}

/// Whether it got as far as to a table, which is not there.
fn connected(output: &Output) -> bool {
    output.stderr.contains("table \"sink_dead_letters\" does not exist")
}

#[track_caller]
fn assert_connected(output: &Output) {
    assert!(connected(output), "{}", output.stderr);
}

fn all_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let roots = [(None, "localhost"), (Some("ca.crt"), "localhost"), (Some("ca.crt"), "elsewhere.example")];
    for mode in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
        for (root, host) in roots.into_iter().chain([(Some("other.crt"), "localhost")]) {
            for expired in [false, true] {
                use Client::{Encrypted, Expired, Good, Missing, NotAsked, OfAnother};
                for client in [NotAsked, Missing, Good, Encrypted, OfAnother, Expired] {
                    cases.push(Case { mode, root, host, expired, client });
                }
            }
        }
    }
    cases
}

#[test]
fn the_sink_connects_exactly_where_libpq_does() {
    let setup = Setup::new();
    let (mut differing, mut accepted) = (Vec::new(), 0);
    let cases = all_cases();
    for case in &cases {
        let url = setup.url(*case);
        let (ours, theirs) = (connect(&sink(&url)), libpq(&url));
        accepted += i32::from(theirs);
        if connected(&ours) != theirs {
            differing.push(format!("{case:?}: libpq {theirs}, sink {:?}: {}", ours.code, ours.stderr));
        }
        let verifies = case.mode.starts_with("verify") && case.root.is_some();
        if verifies && !connected(&ours) && case.client == Client::NotAsked {
            let root = setup.path(case.root.unwrap());
            assert!(ours.stderr.contains(&format!("sslrootcert={root}")), "{case:?}: {}", ours.stderr);
            assert!(ours.stderr.contains("certificate of "), "{case:?}: {}", ours.stderr);
        }
    }
    assert!(differing.is_empty(), "{} of {}:\n{}", differing.len(), cases.len(), differing.join("\n"));
    assert!(accepted > 50 && cases.len() - accepted as usize > 50, "both happen: {accepted} accepted");
}

#[test]
fn a_root_certificate_replaces_those_of_the_system() {
    let setup = Setup::new();
    let trusted = |url: &str, system: &str| {
        let system: PathBuf = setup.path(system).into();
        connect(&sink(url).env("SSL_CERT_FILE", &system.display().to_string()))
    };
    let case = |mode, root| Case { mode, root, host: "localhost", expired: false, client: Client::NotAsked };
    for mode in ["require", "verify-ca", "verify-full"] {
        let wrong = trusted(&setup.url(case(mode, Some("other.crt"))), "ca.crt").expect_code(1);
        assert!(wrong.stderr.contains("certificate of localhost"), "{}", wrong.stderr);
        assert_connected(&trusted(&setup.url(case(mode, Some("ca.crt"))), "other.crt"));
    }
    let system = |parameters: &str, host: &str| {
        let port = setup.current.port();
        let url = format!("postgresql://postgres@{host}:{port}/postgres?hostaddr=127.0.0.1&{parameters}");
        trusted(&url, "ca.crt")
    };
    for parameters in ["sslrootcert=system", "sslrootcert=system&sslmode=verify-full", "sslmode=verify-full"]
    {
        assert_connected(&system(parameters, "localhost"));
    }
    let named = system("sslrootcert=system", "elsewhere.example").expect_code(1);
    assert!(named.stderr.contains("hostname mismatch"), "{}", named.stderr);
    let weak = system("sslrootcert=system&sslmode=require", "localhost").expect_code(2);
    assert!(weak.stderr.contains("sslmode=verify-full"), "{}", weak.stderr);
    let public = sink(&setup.url(case("verify-full", None)).replace("?", "?sslrootcert=system&"));
    let public = connect(&public).expect_code(1);
    assert!(public.stderr.contains("certificate of localhost"), "{}", public.stderr);
}

#[test]
fn check_names_a_refused_certificate_at_once() {
    let setup = Setup::new();
    let world = World::new("tls").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    let case = Case {
        mode: "verify-full",
        root: Some("other.crt"),
        host: "localhost",
        expired: false,
        client: Client::NotAsked,
    };
    let output = world.set("postgres.url", setup.url(case)).config.finish(&["check"], SOON).expect_code(1);
    let root = format!("sslrootcert={}", setup.path("other.crt"));
    let line = output.stdout.lines().find(|line| line.contains(&root));
    assert!(line.is_some_and(|line| line.contains("certificate of localhost")), "{}", output.stdout);
    assert!(output.elapsed < Duration::from_secs(8), "{:?}", output.elapsed);
}
