//! What a test has seen of Prometheus's alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tests::Prometheus;

/// An alert and whom it names.
pub(crate) type Key = (String, String);

/// The states that each alert went through, as Prometheus showed them.
#[derive(Default)]
pub(crate) struct Seen(Mutex<BTreeMap<Key, Vec<String>>>);

impl Seen {
    /// Notes what has changed.
    pub(crate) fn look(&self, prometheus: &Prometheus) {
        let mut now: BTreeMap<Key, String> = BTreeMap::new();
        for alert in prometheus.alerts().unwrap() {
            assert!(!alert.annotations.to_string().contains("<error"), "{alert:?}");
            let whom = ["connector", "cronjob", "instance"].map(|label| alert.label(label)).concat();
            now.insert((alert.label("alertname").to_owned(), whom), alert.state);
        }
        let mut seen = self.0.lock().unwrap();
        for key in now.keys() {
            seen.entry(key.clone()).or_default();
        }
        for (key, states) in seen.iter_mut() {
            let state = now.get(key).map_or("inactive", String::as_str);
            if states.last().is_none_or(|last| last != state) {
                states.push(state.to_owned());
            }
        }
    }

    /// Those in this state now.
    pub(crate) fn are(&self, state: &str) -> BTreeSet<Key> {
        let seen = self.0.lock().unwrap();
        seen.iter()
            .filter(|(_, states)| states.last().is_some_and(|s| s == state))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Those that have fired, whether they still do or not.
    pub(crate) fn fired(&self) -> BTreeSet<Key> {
        let fired = |states: &[String]| states.iter().any(|state| state == "firing");
        self.histories().into_iter().filter(|(_, states)| fired(states)).map(|(key, _)| key).collect()
    }

    /// Every state of each, in order.
    pub(crate) fn histories(&self) -> BTreeMap<Key, Vec<String>> {
        self.0.lock().unwrap().clone()
    }
}
