//! Records that flow while something happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Expected, Record, wait};

use crate::release::{POD, Release};
use crate::world::World;

const AT_ONCE: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Some 2,000 records a second into a topic, until it is finished.
pub(crate) struct Flow {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

fn row(n: u32) -> Value {
    json!({"id": n, "name": format!("n{n}")})
}

/// Produces records `from..to`.
pub(crate) fn produce(topic: &str, from: u32, to: u32) {
    let records = (from..to).map(|n| Record::json(&row(n)).key(n.to_string()));
    World::shared().kafka().produce(topic, records);
}

/// Waits until `count` rows came, and asserts that they are the records `0..count`, each once.
#[track_caller]
pub(crate) fn assert_exactly_once(release: &Release, count: u32) {
    wait::until(POD, "every record has its row", || release.count("rows") >= i64::from(count));
    let mut expected = Expected::by("id");
    (0..count).for_each(|n| expected.add(&row(n)));
    expected.assert_exactly_once(&mut release.client(), "rows");
}

impl Flow {
    pub(crate) fn start(topic: &str) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let thread = {
            let (topic, stop, sent) = (topic.to_owned(), Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let next = sent.load(Ordering::Relaxed);
                    produce(&topic, next, next + AT_ONCE);
                    sent.store(next + AT_ONCE, Ordering::Relaxed);
                    wait::let_pass(PAUSE);
                }
            })
        };
        Self { stop, sent, thread }
    }

    /// Ends it, waits for the rows, and asserts that each record has one.
    #[track_caller]
    pub(crate) fn finish(self, release: &Release) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer of the test");
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(sent > 0, "records flowed");
        assert_exactly_once(release, sent);
    }
}
