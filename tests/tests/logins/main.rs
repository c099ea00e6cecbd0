//! Logins to Kafka that need shared libraries, Kerberos and OIDC: `make logins-test` builds the binaries with them.

mod kdc;
mod kerberos;
mod oidc;
mod token_server;

use std::process::Command;

/// GNU ld would let libcurl and libsasl2 call some of the functions of the OpenSSL inside of the binary, and others in their own.
#[test]
fn the_binaries_keep_their_openssl_to_themselves() {
    for (binary, variable) in [("sink-connector", "SINK_BIN"), ("producer", "PRODUCER_BIN")] {
        let path = tests::paths::binary(binary, variable);
        let output = Command::new("nm").args(["--dynamic", "--defined-only"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "nm {}", path.display());
        let exported = String::from_utf8_lossy(&output.stdout);
        assert!(!exported.contains("SSL_"), "{binary} exports:\n{exported}");
        let needed = Command::new("ldd").arg(&path).output().unwrap();
        let needed = String::from_utf8_lossy(&needed.stdout).into_owned();
        assert!(needed.contains("libcurl.so") && needed.contains("libsasl2.so"), "{binary}: {needed}");
    }
}
