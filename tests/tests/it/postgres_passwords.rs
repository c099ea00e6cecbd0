//! Passwords of PostgreSQL from files and commands: each new connection uses what they hold then, and a refused one is named.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tests::scratch::Scratch;
use tests::{Sink, SinkConfig, World};

const PATIENCE: Duration = Duration::from_secs(60);
const SOME: i64 = 20;

/// A role that logs in with a password, on a cluster of its own, and a place for secrets.
struct Guarded {
    world: World<'static>,
    secrets: Scratch,
    produced: i64,
}

impl Guarded {
    fn new() -> Self {
        let world = World::new("passwords")
            .private_postgres(tests::PostgresOptions::default())
            .table("CREATE TABLE t (id int PRIMARY KEY)")
            .keyed("insert", "id")
            .role("GRANT ALL ON t TO $role; GRANT ALL ON SCHEMA public TO $role");
        let rules = world.postgres.dir().join("data/pg_hba.conf");
        let before = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, format!("host all \"{}\" 127.0.0.1/32 scram-sha-256\n{before}", world.role))
            .unwrap();
        world.execute("SELECT pg_reload_conf(); ALTER ROLE $role PASSWORD 'one'");
        Self { world, secrets: Scratch::new("secrets").unwrap(), produced: 0 }
    }

    /// Writes a secret as Kubernetes does: the file is replaced.
    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, &path).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.secrets.path().join(name)
    }

    fn command(&self, script: &str) -> SinkConfig {
        self.world.config.clone().set("postgres.password_command", vec!["sh", "-c", script])
    }

    fn produce(&mut self) {
        self.world.produce_json((self.produced..self.produced + SOME).map(|id| json!({ "id": id })));
        self.produced += SOME;
    }

    #[track_caller]
    fn written(&mut self, sink: &Sink) {
        self.produce();
        self.world.wait_rows(PATIENCE, self.produced);
        sink.wait_ready(PATIENCE);
    }

    /// Ends the sink's sessions, as a failover does.
    #[track_caller]
    fn cut(&self) {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
        assert!(self.world.client().execute(cut, &[&self.world.role]).unwrap() > 0);
    }

    /// Changes the role's password and ends the sessions that have logged in with the one before.
    #[track_caller]
    fn rotate(&self, password: &str) {
        self.world.execute(&format!("ALTER ROLE $role PASSWORD '{password}'"));
        self.cut();
    }
}

#[test]
fn a_rotated_password_file_needs_no_restart() {
    let mut guarded = Guarded::new();
    let file = guarded.secret("password", "one\n");
    let sink = guarded.world.config.clone().set("postgres.password_file", file.as_str()).run();
    guarded.written(&sink);
    // The file comes after the role: until then, the refused password is named.
    guarded.rotate("two");
    guarded.produce();
    sink.wait_not_ready(PATIENCE, &["(28P01)", "postgres.password_file", &file, "which was changed at 20"]);
    guarded.secret("password", "two\n");
    guarded.written(&sink);
    // The other order: the sessions go on until they end, and then the new file counts.
    guarded.secret("password", "three");
    guarded.written(&sink);
    guarded.rotate("three");
    guarded.written(&sink);
    // A file that is gone for a moment.
    fs::remove_file(guarded.path("password")).unwrap();
    guarded.cut();
    guarded.produce();
    sink.wait_not_ready(PATIENCE, &["postgres.password_file", "cannot read", &file]);
    guarded.secret("password", "three");
    guarded.written(&sink);
    let output = sink.stop(PATIENCE);
    assert!(!["two", "three"].iter().any(|secret| output.stderr.contains(secret)), "{}", output.stderr);
}

#[test]
fn a_password_command_runs_for_each_connection() {
    let mut guarded = Guarded::new();
    let token = guarded.secret("token", "one");
    // Also counts how often it ran.
    let script = format!("echo run >> {token}.log; cat {token} || exit 7");
    let sink = guarded.command(&script).run();
    guarded.written(&sink);
    let runs = || fs::read_to_string(format!("{token}.log")).unwrap().lines().count();
    let before = runs();
    guarded.secret("token", "two");
    guarded.rotate("two");
    guarded.written(&sink);
    assert!(runs() > before);
    guarded.rotate("three");
    guarded.produce();
    sink.wait_not_ready(PATIENCE, &["(28P01)", "the output of postgres.password_command"]);
    fs::remove_file(&token).unwrap();
    sink.wait_not_ready(PATIENCE, &["postgres.password_command", "ended with exit status 7", "No such file"]);
    sink.assert_live();
    guarded.secret("token", "three");
    guarded.written(&sink);
}

#[test]
fn a_password_command_that_fails_is_named_by_every_command() {
    let guarded = Guarded::new();
    let commands: [&[&str]; 4] = [
        &["check"],
        &["offsets", "show"],
        &["dead-letters", "list"],
        &["run", "--until-end", "--deadline", "3s"],
    ];
    for (script, words) in [
        ("echo s3cret; echo 'token expired' >&2; exit 3", "ended with exit status 3: token expired"),
        ("echo s3cret; exec sleep 1000", "did not end within 1000 ms and was killed"),
        ("true", "printed nothing"),
    ] {
        let config = guarded.command(script).set("postgres.password_command_timeout_ms", 1000);
        for command in commands {
            let output = config.finish(command, PATIENCE);
            assert_ne!(output.code, Some(0), "{command:?}: {}", output.stderr);
            let text = output.stdout + &output.stderr;
            assert!(text.contains("postgres.password_command: \"sh\"") && text.contains(words), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
            assert!(output.elapsed < Duration::from_secs(30), "{command:?}: {:?}", output.elapsed);
        }
    }
    let missing = guarded.world.config.clone().set("postgres.password_command", vec!["/no/such/program"]);
    let output = missing.finish(&["dead-letters", "list"], PATIENCE).expect_code(1);
    assert!(output.stderr.contains("cannot run \"/no/such/program\""), "{}", output.stderr);
}

#[test]
fn two_sources_of_a_password_and_unreadable_ones_are_configuration_errors() {
    let guarded = Guarded::new();
    let file = guarded.secret("password", "one");
    let config = &guarded.world.config;
    let both = config.clone().set("postgres.password_file", file.as_str());
    let output =
        both.set("postgres.password_command", vec!["true"]).finish(&["check"], PATIENCE).expect_code(2);
    assert!(output.stderr.contains("postgres.password_command: gives a password"), "{}", output.stderr);
    let empty = config.clone().set("postgres.password_command", Vec::<String>::new());
    let output = empty.finish(&["check"], PATIENCE).expect_code(2);
    assert!(output.stderr.contains("postgres.password_command: is empty"), "{}", output.stderr);
}

#[test]
fn a_password_file_of_libpq_has_a_line_for_each_server() {
    let mut guarded = Guarded::new();
    let role = guarded.world.role.clone();
    let line = |password: &str| format!("elsewhere:*:*:*:wrong\n127.0.0.1:*:*:{role}:{password}\n");
    let file = guarded.secret("pgpass", &line("one"));
    let url = format!("{}?passfile={file}", guarded.world.config.postgres_url());
    let config = guarded.world.config.clone().set("postgres.url", url.as_str());
    let sink = config.run();
    guarded.written(&sink);
    guarded.secret("pgpass", &line("two"));
    guarded.rotate("two");
    guarded.written(&sink);
    guarded.secret("pgpass", "elsewhere:*:*:*:wrong\n");
    guarded.cut();
    guarded.produce();
    sink.wait_not_ready(PATIENCE, &["no line of passfile", &file]);
    guarded.secret("pgpass", &line("two"));
    guarded.written(&sink);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = config.finish(&["check"], PATIENCE).expect_code(2);
    assert!(
        output.stderr.contains(&format!("postgres.url: passfile={file}: others may read it")),
        "{}",
        output.stderr
    );
}
