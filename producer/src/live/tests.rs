//! The laws of the game, checked on the records as a reader of the topics has them.

mod referee;
mod replayed;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shared::live_score::LiveScore;

use super::delivery::Delivery;
use super::{Live, Matches};
use referee::{Records, check};

const NOW: u64 = 1_722_425_000_123;

/// The records of all matches, by match and in order; and the bytes of all of them.
fn play(seed: u64, concurrent: usize, total: u64) -> (Vec<Records>, Vec<u8>) {
    let mut live = Live::new(seed, Matches { concurrent, total: Some(total) });
    let (mut records, mut at, mut bytes) = (Vec::<Records>::new(), BTreeMap::new(), Vec::new());
    while let Some(update) = live.next(NOW) {
        let json = serde_json::to_vec(&update.score).unwrap();
        let score: LiveScore<Option<String>> = serde_json::from_slice(&json).unwrap();
        bytes.extend(json);
        let delivery = update.delivery.map(|delivery| {
            let json = serde_json::to_vec(&delivery).unwrap();
            bytes.extend(&json);
            serde_json::from_slice::<Delivery>(&json).unwrap()
        });
        let next = records.len();
        let index = *at.entry(score.match_id.clone()).or_insert(next);
        if index == next {
            records.push(Vec::with_capacity(260));
        }
        records[index].push((update.score.version, score, delivery));
    }
    (records, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn every_match_obeys_the_laws_and_ends_with_a_result(seed: u64, concurrent in 1_usize..6, total in 1_u64..9) {
        let (matches, _) = play(seed, concurrent, total);
        prop_assert_eq!(matches.len() as u64, total);
        for records in &matches {
            check(records);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes(seed: u64, concurrent in 1_usize..6) {
        prop_assert_eq!(play(seed, concurrent, 4).1, play(seed, concurrent, 4).1);
        prop_assert_ne!(play(seed, concurrent, 4).1, play(seed ^ 1, concurrent, 4).1);
    }

    #[test]
    fn a_match_does_not_depend_on_those_beside_it(seed: u64) {
        let course = |concurrent| -> Vec<Vec<_>> {
            let anonymous = |delivery: &Option<Delivery>| {
                delivery.clone().map(|delivery| Delivery { match_id: String::new(), ..delivery })
            };
            let of = |records: &Records| records.iter().map(|(version, _, delivery)| (*version, anonymous(delivery))).collect();
            play(seed, concurrent, 4).0.iter().map(of).collect()
        };
        prop_assert_eq!(course(1), course(4));
    }
}

#[test]
fn at_most_so_many_matches_are_played_at_once_and_another_begins_when_one_ends() {
    let mut live = Live::new(3, Matches { concurrent: 3, total: None });
    let (mut open, mut most, mut ended) = (BTreeSet::new(), 0, 0);
    while ended < 10 {
        let update = live.next(NOW).unwrap();
        let id = update.score.score.match_id.unwrap().to_owned();
        if update.score.score.match_status == Some("Completed") {
            assert!(open.remove(&id), "{id} had begun");
            ended += 1;
        } else {
            open.insert(id);
        }
        most = most.max(open.len());
    }
    assert_eq!(most, 3);
}

#[test]
fn everything_that_cricket_has_comes_up() {
    let mut live = Live::new(11, Matches { concurrent: 4, total: Some(1500) });
    let (mut seen, mut first_innings, mut matches) = (BTreeMap::new(), 0, 0);
    while let Some(update) = live.next(NOW) {
        if let Some(ball) = &update.delivery {
            let extras = [
                ("wide", ball.wides),
                ("no-ball", ball.noballs),
                ("bye", ball.byes),
                ("leg bye", ball.legbyes),
                ("penalty", ball.penalty),
                ("second super over", u32::from(ball.innings == 5)),
                ("super over", u32::from(ball.super_over)),
                ("six", u32::from(ball.runs_batter == 6)),
            ];
            for (name, _) in extras.into_iter().filter(|(_, runs)| *runs > 0) {
                *seen.entry(name.to_owned()).or_insert(0) += 1;
            }
            if let Some(kind) = ball.wicket_kind {
                *seen.entry(kind.to_owned()).or_insert(0) += 1;
            }
        }
        if update.score.score.match_status == Some("Completed") {
            first_innings += update.score.score.target_runs.unwrap() - 1;
            matches += 1;
        }
    }
    let names = [
        "wide",
        "no-ball",
        "bye",
        "leg bye",
        "penalty",
        "super over",
        "second super over",
        "six",
        "bowled",
        "caught",
        "caught and bowled",
        "lbw",
        "stumped",
        "hit wicket",
        "run out",
    ];
    assert_eq!(
        seen.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        names.into_iter().collect(),
        "{seen:?}"
    );
    assert!(
        (140..190).contains(&(first_innings / matches)),
        "runs of a first innings: {}",
        first_innings / matches
    );
}
