//! What librdkafka has in some builds only, because it needs libraries that a static binary cannot contain.

use std::sync::LazyLock;

use rdkafka::config::ClientConfig;

/// How the tags of images end that have all of it.
const IMAGE_SUFFIX: &str = "-kerberos-oidc";

struct Part {
    name: &'static str,
    /// As `builtin.features` calls it.
    builtin: &'static str,
    /// The feature of the crates that builds it in.
    feature: &'static str,
    /// What does without it.
    instead: &'static str,
}

const KERBEROS: Part = Part {
    name: "Kerberos (GSSAPI)",
    builtin: "sasl_gssapi",
    feature: "gssapi",
    instead: "another sasl.mechanism",
};
const OIDC: Part =
    Part { name: "OIDC", builtin: "oidc", feature: "oidc", instead: "kafka.oauthbearer_token_command" };

static BUILTIN: LazyLock<String> = LazyLock::new(|| {
    let native = ClientConfig::new().create_native_config();
    native.and_then(|native| native.get("builtin.features")).unwrap_or_default()
});

impl Part {
    fn is_missing(&self) -> bool {
        !BUILTIN.split(',').any(|builtin| builtin == self.builtin)
    }

    fn refusal(&self) -> String {
        let Self { name, feature, instead, .. } = self;
        format!(
            "needs {name}, which this build does not have: use an image whose tag ends with {IMAGE_SUFFIX}, or build with \
             `--features {feature}` (docs/credentials.md), or use {instead}"
        )
    }
}

/// Why this build cannot log in as a property asks for, if it cannot. librdkafka finds that out only when a client is created.
pub(super) fn missing_mechanism(property: &str, value: &str) -> Option<String> {
    let kerberos =
        matches!(property, "sasl.mechanism" | "sasl.mechanisms") && value.eq_ignore_ascii_case("GSSAPI");
    (kerberos && KERBEROS.is_missing()).then(|| KERBEROS.refusal())
}

/// The same for a protocol with SASL, where no mechanism is given.
pub(super) fn missing_default(property: &str, value: &str) -> Option<String> {
    let sasl = property == "security.protocol" && value.to_ascii_lowercase().starts_with("sasl_");
    (sasl && KERBEROS.is_missing())
        .then(|| format!("needs sasl.mechanism, because the default is GSSAPI, which {}", KERBEROS.refusal()))
}

/// What to use if librdkafka was built without what a property needs.
pub(super) fn unsupported(text: &str) -> Option<String> {
    // HTTP and OIDC alike.
    (text.contains("not supported in this build") && text.contains("libcurl")).then(|| OIDC.refusal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_the_build_decide_whether_kerberos_is_refused() {
        let built_in = cfg!(feature = "gssapi");
        assert_eq!(missing_mechanism("sasl.mechanism", "GSSAPI").is_none(), built_in);
        assert_eq!(missing_default("security.protocol", "SASL_SSL").is_none(), built_in);
        assert_eq!(missing_mechanism("sasl.mechanisms", "PLAIN"), None);
        assert_eq!(missing_mechanism("client.id", "GSSAPI"), None);
        assert_eq!(missing_default("security.protocol", "SSL"), None);
        assert_eq!(OIDC.is_missing(), !cfg!(feature = "oidc"));
    }

    #[test]
    fn a_refusal_names_the_image_and_the_feature() {
        for (part, feature) in [(KERBEROS, "--features gssapi"), (OIDC, "--features oidc")] {
            let refusal = part.refusal();
            assert!(refusal.contains(IMAGE_SUFFIX) && refusal.contains(feature), "{refusal}");
        }
    }
}
