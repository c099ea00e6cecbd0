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
    t.set(&["name"], own.clone());
    // Where the connector committed its positions.
    let group = t.get(GROUP);
    let own_group = format!("connect-{name}");
    if group.is_none() {
        t.set(&["kafka", "group_id"], own_group.clone());
    }
    if given.is_none() {
        let instead = if group.is_some() {
            format!("the connector's name: write it for {own:?}")
        } else {
            format!(
                "the connector's name: write it for {own:?}, and into kafka.group_id = {own_group:?}: in the group \
                 connect-NAME the connector committed its positions"
            )
        };
        t.not_supported("name", instead);
    } else if own != name {
        let why =
            format!("a name has at most {NAME_MAX_BYTES} characters of ASCII; name = {own:?} stands there");
        t.not_supported("name", why);
    } else if group.is_some() {
        t.taken("name", format!("name = {name:?}; the group is that of {GROUP}"));
    } else {
        t.taken(
            "name",
            format!("name = {name:?}, kafka.group_id = {own_group:?}, where Connect committed its positions"),
        );
    }
    if let Some(group) = group {
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
