//! Keeps the OpenSSL inside of the binary apart from the one that libcurl and libsasl2 use.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let shared_libraries = ["GSSAPI", "OIDC"].map(|feature| env::var_os(format!("CARGO_FEATURE_{feature}")));
    if shared_libraries.iter().any(Option::is_some) {
        // GNU ld exports each function of the binary that a shared library refers to, and that library would then call a part of the
        // functions here, and the others in its own OpenSSL.
        println!("cargo::rustc-link-arg-bins=-Wl,--exclude-libs,ALL");
    }
}
