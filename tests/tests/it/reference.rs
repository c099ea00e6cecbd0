//! docs/reference.md says what the binaries say of themselves.

use std::fs;
use std::process::Command;

use tests::paths;

#[test]
fn the_reference_is_what_the_code_says() {
    let reference = |binary: &str, variable: &str| {
        let output = Command::new(paths::binary(binary, variable)).arg("reference").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let now = reference("sink-connector", "SINK_BIN") + &reference("producer", "PRODUCER_BIN");
    let file = fs::read_to_string(paths::workspace("docs/reference.md")).unwrap_or_default();
    let differs = now.lines().zip(file.lines()).find(|(now, file)| now != file);
    assert!(
        now == file,
        "docs/reference.md is stale: `make docs` renews it. The first difference: {differs:?}"
    );
    for words in [
        "| `kafka.group_id` |",
        "`sink_lag_records`",
        "| 5 | a bounded run",
        "`producer_records_total`",
        "`40001`",
    ] {
        assert!(now.contains(words), "{words} is not in the reference");
    }
}
