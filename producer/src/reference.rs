//! The producer's part of docs/reference.md, from the code that acts on it.

use prometheus::proto::Metric;
use shared::fields::fields;
use shared::settings::reference::keys;

use crate::config::SCHEMA;
use crate::metrics::Measured;
use crate::status::Answer;

/// The producer's part of docs/reference.md, or the JSON schema of a configuration file.
///
/// # Panics
/// When a metric is declared wrongly, which a test rules out.
#[must_use]
pub fn text(json_schema: bool) -> String {
    if json_schema { format!("{:#}\n", SCHEMA.json()) } else { markdown() }
}

/// Every key and metric, as Markdown.
fn markdown() -> String {
    let mut text = String::from("\n## producer: configuration\n\n");
    text += &keys(&SCHEMA);
    text += "\n## producer: metrics\n\n| metric | type | labels | what it says |\n|---|---|---|---|\n";
    let measured = Measured::new().expect("the declarations are literals, and a test registers them");
    for family in measured.families().iter().filter(|family| family.name().starts_with("producer_")) {
        let labels = family.get_metric().first().map(Metric::get_label).unwrap_or_default();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{}`", label.name())).collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        text += &format!("| `{}` | {kind} | {} | {} |\n", family.name(), labels.join(", "), family.help());
    }
    text += "\n## producer: /status\n\n";
    text += &fields::<Answer<'_>>();
    text += "\n## producer: exit codes\n\n| code | meaning |\n|---|---|\n| 0 | done |\n| 1 | failed, or a record was not \
             acknowledged |\n| 2 | configuration or usage wrong |\n";
    text
}
