//! Sinks in a world of models: the real source with its shell, batches, plans and policy, and the real decisions of the
//! writers, over a model of Kafka and a model of PostgreSQL. Time is simulated and faults are drawn from a seed, so a run
//! can be repeated. docs/testing.md describes what is checked.

mod kafka;
mod postgres;
mod random;
mod session;
mod sink;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use self::postgres::Fate;
use self::random::Random;
use self::world::{Fault, LOGS, SINKS, TABLE_CODES, TOPICS, WINDOW, World};

/// Simulates so many hours: faults, some seconds apart, and now and then a time without.
fn simulate(seed: u64, hours: u64) -> String {
    let (mut world, mut random) = (World::new(seed), Random::new(seed ^ 1));
    let begin = world.now;
    while world.now - begin < Duration::from_hours(hours) {
        for _ in 0..100 {
            world.inject(Fault::draw(&mut random));
            let longest = random.of(&[20, 1_000, 5_000]);
            world.run(random.millis(1, longest));
        }
        world.recover();
    }
    world.result()
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// `make simulate HOURS=100 SEED=1`; without them, one hour of a fixed seed.
#[test]
#[expect(clippy::print_stdout, reason = "a run that fails is repeated with its seed")]
fn no_simulated_fault_loses_doubles_or_holds_up_a_record() {
    let (hours, seed) = (variable("HOURS").unwrap_or(1), variable("SEED").unwrap_or(1));
    println!("simulating {hours} hours, SEED={seed}");
    simulate(seed, hours);
}

#[test]
fn a_simulation_with_the_same_seed_is_the_same() {
    assert_eq!(simulate(7, 1), simulate(7, 1));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        proptest::sample::select(&["57P01", "57014", "42P01", "42501", "XX000"][..]).prop_map(Fate::Fails),
        Just(Fate::Breaks),
        any::<bool>().prop_map(|committed| Fate::Unanswered { committed }),
        any::<bool>().prop_map(|committed| Fate::Hangs { committed }),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let sink = || 0..SINKS;
    let partition = || 0..LOGS;
    let table = || proptest::sample::select(&TOPICS[..]);
    let code = || proptest::sample::select(&TABLE_CODES[..]);
    prop_oneof![
        6 => (partition(), 1..60_usize).prop_map(|(partition, n)| Fault::Records(partition, n)),
        2 => (partition(), 1..4_usize).prop_map(|(partition, n)| Fault::Markers(partition, n)),
        1 => partition().prop_map(Fault::Broken),
        1 => (partition(), 1..=WINDOW).prop_map(|(partition, n)| Fault::Burst(partition, n)),
        1 => (sink(), 1..60_u64).prop_map(|(sink, max)| Fault::StartWithMaxRecords(sink, max)),
        1 => sink().prop_map(Fault::StartUntilEnd),
        1 => (table(), code()).prop_map(|(table, code)| Fault::Sick(table, code)),
        1 => Just(Fault::Well),
        1 => sink().prop_map(Fault::Crash),
        1 => sink().prop_map(Fault::Terminate),
        2 => sink().prop_map(Fault::Start),
        1 => sink().prop_map(Fault::Lose),
        1 => (sink(), 100..30_000_u64).prop_map(|(sink, ms)| Fault::Freeze(sink, Duration::from_millis(ms))),
        4 => fate().prop_map(Fault::Attempt),
        1 => (100..20_000_u64).prop_map(|ms| Fault::Down(Duration::from_millis(ms))),
        1 => Just(Fault::TableChange),
        1 => (1..5_i32).prop_map(Fault::Refuse),
        1 => Just(Fault::Accept),
        1 => (1..10_usize).prop_map(Fault::Slow),
        1 => (sink(), partition()).prop_map(|(sink, partition)| Fault::Stall(sink, partition)),
        1 => (0..4_usize).prop_map(Fault::FailSeeks),
        1 => (0..4_usize).prop_map(Fault::FailCommits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Each record has one outcome, a position never jumps or goes back, the order of a key holds (all checked at every
    /// commit by the model of PostgreSQL), and when the faults end, lag comes to 0.
    #[test]
    fn every_schedule_whose_faults_end_reaches_lag_0(
        seed in any::<u64>(),
        schedule in proptest::collection::vec((fault(), 1..5_000_u64), 1..30),
    ) {
        let mut world = World::new(seed);
        for (fault, ms) in schedule {
            world.inject(fault);
            world.run(Duration::from_millis(ms));
        }
        world.recover();
    }
}
