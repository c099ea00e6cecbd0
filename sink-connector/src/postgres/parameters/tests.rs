//! Connection strings as a user writes them.

use super::*;

fn parse(text: &str) -> Parameters {
    Parameters::parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

fn problems(text: &str) -> String {
    let problems = Parameters::parse(text).expect_err(text);
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn named(name: &str, port: u16) -> Host {
    Host { address: Address::Tcp(name.to_owned(), None), port }
}

#[test]
fn every_part_of_a_url_may_be_percent_encoded() {
    let plain = parse("postgresql://us%65r:p%40ss%2Fw%3Ard@%68ost:54%33%32/d%62?ssl%6Dode=req%75ire");
    assert_eq!(plain.user.as_deref(), Some("user"));
    assert_eq!(plain.password, Some(Secret::new("p@ss/w:rd")));
    assert_eq!(plain.hosts, [named("host", 5432)]);
    assert_eq!(plain.database.as_deref(), Some("db"));
    assert_eq!(plain.ssl.mode, SslMode::Require);
    let socket = parse("postgres://u@%2Fvar%2Frun:6000/d");
    assert_eq!(socket.hosts, [Host { address: Address::Socket("/var/run".into()), port: 6000 }]);
}

#[test]
fn a_url_and_keywords_mean_the_same() {
    let url = parse(
        "postgresql://u:p%20w@a:1,[::1]:2,c/d?options=-c%20a%3Db&connect_timeout=3&tcp_user_timeout=2500\
         &target_session_attrs=prefer-standby&load_balance_hosts=random&keepalives_count=4",
    );
    let keywords = parse(
        "host=a,::1,c port=1,2, user=u password='p w' dbname=d options='-c a=b' connect_timeout = 3 \
         tcp_user_timeout=2500 target_session_attrs=prefer-standby load_balance_hosts=random keepalives_count=4",
    );
    assert_eq!(url, keywords);
    assert_eq!(url.hosts, [named("a", 1), named("::1", 2), named("c", 5432)]);
    assert_eq!(url.tcp_user_timeout, Some(Duration::from_millis(2500)));
    assert_eq!(url.session, SessionAttributes::PreferStandby);
    assert!(url.random_host);
    assert_eq!(url.keepalives, parse("host=a keepalives_retries=4").keepalives);
}

#[test]
fn a_password_may_have_characters_that_libpq_takes_and_a_slash() {
    for (url, password) in [
        ("postgresql://u:p?q@h/d", "p?q"),
        ("postgresql://u:p:q@h/d", "p:q"),
        ("postgresql://u:p#q@h/d", "p#q"),
        ("postgresql://u:a/b@h/d", "a/b"),
        ("postgresql://u:a/b@h:5432/d?sslmode=require", "a/b"),
    ] {
        let parsed = parse(url);
        assert_eq!(
            (parsed.password, parsed.user.as_deref()),
            (Some(Secret::new(password)), Some("u")),
            "{url}"
        );
        assert_eq!((parsed.hosts, parsed.database.as_deref()), (vec![named("h", 5432)], Some("d")), "{url}");
    }
    // libpq's reading comes first.
    let database = parse("postgresql://h/d@x");
    assert_eq!((database.hosts, database.database.as_deref()), (vec![named("h", 5432)], Some("d@x")));
    let port = parse("postgresql://[::1]:1,b:2/d@x");
    assert_eq!(port.hosts, [named("::1", 1), named("b", 2)]);
    assert_eq!(
        problems("postgresql://u:p@q@h/d"),
        "has an @ too many; write %40 for one in the user or the password"
    );
}

#[test]
fn what_is_verified_follows_mode_and_root() {
    let system = |text| {
        let ssl = parse(text).ssl;
        (ssl.mode, ssl.roots)
    };
    let full = (SslMode::VerifyFull, Roots::System);
    assert_eq!(system("host=h sslrootcert=system"), full);
    assert_eq!(system("host=h sslmode=verify-full"), full);
    assert_eq!(system("host=h sslmode=verify-full sslrootcert=system"), full);
    assert_eq!(system("host=h sslmode=require"), (SslMode::Require, Roots::Unverified));
    let file = Roots::File("/ca".into());
    assert_eq!(system("host=h sslmode=verify-ca sslrootcert=/ca"), (SslMode::VerifyCa, file.clone()));
    assert_eq!(system("host=h sslrootcert=/ca"), (SslMode::Prefer, file));
    assert!(problems("host=h sslmode=verify-ca").contains("sslmode=verify-ca needs sslrootcert=FILE"));
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let weak = problems(&format!("host=h sslrootcert=system sslmode={mode}"));
        assert!(weak.contains("sslrootcert=system needs sslmode=verify-full"), "{mode}: {weak}");
    }
    assert!(problems("host=h sslcert=/c").contains("sslcert and sslkey need each other"));
    assert!(problems("host=h sslnegotiation=direct").contains("needs sslmode=require or stronger"));
    let off = parse("host=h sslmode=require sslcert=/c sslkey=/k sslcertmode=disable sslsni=0").ssl;
    assert_eq!((off.certificate, off.key, off.server_name), (None, None, false));
}

#[test]
fn parameters_without_effect_are_taken() {
    parse(
        "host=h application_name=a fallback_application_name=b gssencmode=prefer sslcompression=0 \
         client_encoding=UTF8 ssl_min_protocol_version=TLSv1.3",
    );
    parse("postgresql://h/?gssencmode=disable&ssl=true&connect_timeout=&connect_timeout=0");
}

#[test]
fn every_other_parameter_is_refused_by_name_with_the_reason() {
    for (name, reason) in names::REFUSED {
        let problem = problems(&format!("postgresql://h/d?{name}=s3cret"));
        assert_eq!(problem, format!("{name} is not supported: {reason}"));
    }
    assert_eq!(
        problems("postgresql://h/d?pasword=s3cret"),
        "pasword is not a parameter of libpq; did you mean password?"
    );
    assert_eq!(
        problems(
            "host=h sslmode=full gssencmode=require target_session_attrs=master tcp_user_timeout=2s port=0"
        ),
        "gssencmode must be disable or prefer: Kerberos for PostgreSQL is not in this client\n\
         sslmode=full is not one of disable, allow, prefer, require, verify-ca, verify-full\n\
         port must be a number from 1 to 65535\n\
         tcp_user_timeout must be a number of milliseconds\n\
         target_session_attrs=master is not one of any, read-write, read-only, primary, standby, prefer-standby"
    );
    assert!(problems("user=u").contains("no host is given"));
    assert!(problems("host=a,b port=1,2,3").contains("the same number of elements"));
    assert!(problems("hostaddr=127.0.0.1 sslmode=verify-full").contains("needs host beside hostaddr"));
}

#[test]
fn no_message_shows_a_part_of_a_password_that_is_not_encoded() {
    for text in [
        "postgresql://u:s3cret%zz@h/d",
        "postgresql://u:p@s3cret@h/d",
        "postgresql://h/d?password=x&s3cret",
        "postgresql://h/d?password=x&s3cret=1",
        "postgresql://u:x@h:s3cret/d",
        "host=h password=x s3cret",
        "host=h password=x s3cret=1",
        "host=h password='s3cret",
        "s3cret",
        "postgresql:/u:s3cret@h/d",
    ] {
        let shown = problems(text);
        assert!(!shown.contains("s3cret"), "{text}: {shown}");
    }
}

#[test]
fn a_password_file_of_libpq_is_read_as_libpq_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pgpass");
    std::fs::write(
        &path,
        "# comment\nother:5432:d:u:wrong\nh:5433:*:u:wrong\nh:*:d:u\\:v:co\\:lon\n*:*:*:*:last:with colon\n",
    )
    .unwrap();
    let permit = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    permit(0o600);
    assert_eq!(passwords(&path, ["h", "5432", "d", "u:v"]).unwrap().as_deref(), Some("co:lon"));
    assert_eq!(passwords(&path, ["h", "5432", "d", "u"]).unwrap().as_deref(), Some("last:with colon"));
    permit(0o644);
    assert!(passwords(&path, ["h", "5432", "d", "u"]).unwrap_err().to_string().contains("0600"));
    let parameters = parse(&format!("host=h passfile={} sslrootcert=/no/such.crt", path.display()));
    let unusable: Vec<String> = parameters.unusable_files().iter().map(ToString::to_string).collect();
    assert_eq!(unusable.len(), 2, "{unusable:?}");
    assert!(unusable[0].starts_with("sslrootcert=/no/such.crt: "), "{unusable:?}");
    assert!(unusable[1].starts_with("passfile="), "{unusable:?}");
}
