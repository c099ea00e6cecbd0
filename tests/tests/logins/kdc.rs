//! A real Kerberos: a realm with a key distribution centre on a free port.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::process::{Ending, Process};
use tests::scratch::Scratch;
use tests::{ports, wait};

const REALM: &str = "LIVESCORES.TEST";
const PATIENCE: Duration = Duration::from_secs(30);

/// A realm with the broker `kafka/localhost` and the user `scores`; ended on drop.
pub(crate) struct Kdc {
    dir: Scratch,
    _process: Process,
}

impl Kdc {
    pub(crate) fn start() -> Self {
        let dir = Scratch::new("kdc").unwrap();
        let port = ports::free();
        let place = dir.path().display();
        fs::write(
            dir.path().join("krb5.conf"),
            format!(
                "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
                 dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n\
                 [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {REALM}\n"
            ),
        )
        .unwrap();
        fs::write(
            dir.path().join("kdc.conf"),
            format!(
                "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n {REALM} = {{\n  \
                 database_name = {place}/principals\n  key_stash_file = {place}/stash\n  acl_file = {place}/acl\n }}\n"
            ),
        )
        .unwrap();
        run(dir.path(), "kdb5_util", &["-r", REALM, "create", "-s", "-P", "master"]);
        for (principal, file) in [("kafka/localhost", "broker.keytab"), ("scores", "scores.keytab")] {
            let keytab = format!("ktadd -k {place}/{file} {principal}");
            for query in [&format!("addprinc -randkey {principal}"), &keytab] {
                run(dir.path(), "kadmin.local", &["-r", REALM, "-q", query]);
            }
        }
        let mut command = command(dir.path(), "krb5kdc");
        command.args(["-n", "-r", REALM]);
        let process = Process::spawn(&mut command, Ending::Kill).unwrap();
        wait::until(PATIENCE, "the KDC listens", || !ports::is_free(port));
        Self { dir, _process: process }
    }

    /// A file: `krb5.conf`, `broker.keytab`, `scores.keytab`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The full name of a principal.
    pub(crate) fn principal(name: &str) -> String {
        format!("{name}@{REALM}")
    }
}

/// One of Debian's programs of MIT Kerberos, which are in /usr/sbin.
fn command(dir: &Path, program: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("env");
    command.arg(program).env("PATH", path);
    command.env("KRB5_CONFIG", dir.join("krb5.conf")).env("KRB5_KDC_PROFILE", dir.join("kdc.conf"));
    command
}

fn run(dir: &Path, program: &str, arguments: &[&str]) {
    let output = command(dir, program).args(arguments).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} (`tests/setup.sh --logins` installs it):\n{printed}"
    );
}
