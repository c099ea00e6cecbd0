//! The name of the sink and its group: what its positions belong to, so never a default that another sink has as well.

use super::translation::{Translation, list};

/// `consumer.override.group.id`, which replaces the group `connect-NAME`.
const GROUP: &str = "consumer.override.group.id";
/// The longest name.
const NAME_MAX_BYTES: usize = 52;

/// `file` is the name of the input without its ending, if it comes from a file.
pub(super) fn convert(t: &mut Translation, file: Option<&str>) {
    let given = t.get("name");
    let name = given.clone().unwrap_or_else(|| stand_in(t, file));
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '-' };
    let own: String = name.chars().map(printable).take(NAME_MAX_BYTES).collect();
    let group = format!("connect-{name}");
    t.set(&["name"], own.clone());
    t.set(&["kafka", "group_id"], group.clone());
    if given.is_none() {
        t.not_supported(
            "name",
            format!(
                "the connector's name: write it for {own:?}, and into kafka.group_id = {group:?}: in the group connect-NAME \
                 the connector committed its positions"
            ),
        );
    } else if own == name {
        t.taken(
            "name",
            format!("name = {name:?}, kafka.group_id = {group:?}, where Connect committed its positions"),
        );
    } else {
        let why =
            format!("a name has at most {NAME_MAX_BYTES} characters of ASCII; name = {own:?} stands there");
        t.not_supported("name", why);
    }
    if let Some(group) = t.get(GROUP) {
        t.take(GROUP, &["kafka", "group_id"], group);
    }
}

/// A name for a connector without one, as in the body of `PUT /connectors/NAME/config`: that of its file and its topics.
/// Many files are called `connector.json`, and a topic may have several connectors.
fn stand_in(t: &Translation, file: Option<&str>) -> String {
    let topics = t.either(&["topics", "topics.regex"]).map(|(_, topics)| list(&topics).join("-"));
    let file = file.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    let name = match (file, topics) {
        (Some(file), Some(topics)) if !file.contains(&topics) => format!("{file}-{topics}"),
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => "CHANGE-ME".to_owned(),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    name.chars().map(plain).take(NAME_MAX_BYTES).collect()
}
