//! Checks the records of one match against the laws, without a look at how they were made.

use std::collections::{BTreeMap, BTreeSet};

use shared::live_score::LiveScore;

use crate::live::delivery::Delivery;

/// Version, live score and ball, in the order in which they were published.
pub(super) type Records = Vec<(u32, LiveScore<Option<String>>, Option<Delivery>)>;

/// Panics if the records are not those of a match that has ended.
pub(super) fn check(records: &Records) {
    let (_, toss, none) = &records[0];
    assert!(none.is_none() && toss.match_status.as_deref() == Some("Scheduled"));
    assert_eq!((toss.score1, toss.score2, toss.total_runs, toss.overs1), (None, None, None, None));
    let balls: Vec<&Delivery> =
        records[1..].iter().map(|(.., ball)| ball.as_ref().expect("a ball")).collect();
    let mut innings: Vec<&[&Delivery]> = Vec::new();
    for of_innings in balls.chunk_by(|one, next| one.innings == next.innings) {
        innings.push(of_innings);
    }
    for (number, (_, score, _)) in records.iter().enumerate() {
        follows(number, records, &balls[..number], score);
    }
    for (index, of_innings) in innings.iter().enumerate() {
        assert_eq!(of_innings[0].innings as usize, index + 1);
        assert_eq!(of_innings[0].super_over, index >= 2);
        let target = (index % 2 == 1).then(|| total(innings[index - 1]) + 1);
        ends_rightly(of_innings, target);
        overs(of_innings);
        bowlers(of_innings);
        pairs(of_innings);
        free_hits(of_innings);
    }
    result(&records[records.len() - 1].1, &innings);
}

fn total(balls: &[&Delivery]) -> u32 {
    balls.iter().map(|ball| ball.runs_total).sum()
}

fn wickets(balls: &[&Delivery]) -> u32 {
    balls.iter().map(|ball| ball.wickets).sum()
}

fn is_legal(ball: &Delivery) -> bool {
    ball.wides == 0 && ball.noballs == 0
}

/// The live score is what the balls so far sum to, one version after the one before it.
fn follows(number: usize, records: &Records, balls: &[&Delivery], score: &LiveScore<Option<String>>) {
    assert_eq!(records[number].0 as usize, number + 1, "versions rise by one");
    assert_eq!(score.match_id, records[0].1.match_id);
    let status = match number {
        0 => "Scheduled",
        _ if number + 1 == records.len() => "Completed",
        _ => "In Progress",
    };
    assert_eq!(score.match_status.as_deref(), Some(status));
    assert_eq!(score.winning_team.is_some(), status == "Completed");
    assert_eq!(score.man_of_the_match.is_some(), status == "Completed");
    if let Some(ball) = balls.last() {
        assert_eq!(ball.delivery as usize, number);
        assert_eq!(ball.runs_total, ball.runs_batter + ball.runs_extras);
        assert_eq!(ball.runs_extras, ball.wides + ball.noballs + ball.byes + ball.legbyes + ball.penalty);
    }
    let sides = [
        (&score.team1, score.score1, score.runs1, score.wickets1, score.overs1),
        (&score.team2, score.score2, score.runs2, score.wickets2, score.overs2),
    ];
    let mut both = [0, 0];
    for (team, score, runs, lost, overs) in sides {
        let of_side: Vec<&Delivery> = balls
            .iter()
            .filter(|ball| !ball.super_over && Some(&ball.batting_team) == team.as_ref())
            .copied()
            .collect();
        let begun = !of_side.is_empty();
        let bat: u32 = of_side.iter().map(|ball| ball.runs_batter).sum();
        let figure = |figure: u32| begun.then(|| i32::try_from(figure).unwrap());
        assert_eq!((score, runs, lost), (figure(total(&of_side)), figure(bat), figure(wickets(&of_side))));
        let legal = of_side.iter().filter(|ball| is_legal(ball)).count();
        assert_eq!(overs, begun.then(|| (legal / 6 * 10 + legal % 6) as f64 / 10.0));
        both[0] += total(&of_side);
        both[1] += total(&of_side) - bat;
    }
    let both = both.map(|figure| (number > 0).then(|| i32::try_from(figure).unwrap()));
    assert_eq!([score.total_runs, score.extra_runs], both);
    assert_eq!(score.match_duration.is_some(), number > 0);
}

/// It ends all out, with its last ball or at the target, and no ball later.
fn ends_rightly(balls: &[&Delivery], target: Option<u32>) {
    let (all_out, most_balls) = if balls[0].super_over { (2, 6) } else { (10, 120) };
    let is_over = |balls: &[&Delivery]| {
        wickets(balls) == all_out
            || balls.iter().filter(|ball| is_legal(ball)).count() == most_balls
            || target.is_some_and(|target| total(balls) >= target)
    };
    assert!(is_over(balls), "the innings is over");
    assert!(!is_over(&balls[..balls.len() - 1]), "and was not before its last ball");
    if let Some(target) = target {
        assert!(total(balls) < target + 6, "no run counts after the winning one, apart from a boundary");
    }
}

/// Six legal balls each, except for the last over; numbered without a gap.
fn overs(balls: &[&Delivery]) {
    let all: Vec<&[&Delivery]> = balls.chunk_by(|one, next| one.over_number == next.over_number).collect();
    for (index, over) in all.iter().enumerate() {
        assert_eq!(over[0].over_number as usize, index + 1);
        assert!(over.iter().zip(1..).all(|(ball, number)| ball.ball == number));
        let legal = over.iter().filter(|ball| is_legal(ball)).count();
        assert!(if index + 1 < all.len() { legal == 6 } else { legal <= 6 }, "{legal} legal balls");
    }
}

/// One for each over, not two overs in a row, four at most.
fn bowlers(balls: &[&Delivery]) {
    let (mut bowled, mut last) = (BTreeMap::new(), "");
    for over in balls.chunk_by(|one, next| one.over_number == next.over_number) {
        let bowler = over[0].bowler.as_str();
        assert!(over.iter().all(|ball| ball.bowler == bowler), "one bowler for each over");
        assert_ne!(bowler, last, "not two overs in a row");
        *bowled.entry(bowler).or_insert(0) += 1;
        last = bowler;
    }
    assert!(bowled.values().all(|overs| *overs <= 4), "{bowled:?}");
}

/// Odd runs and the end of an over change ends; who comes in takes the place of who is out, and was not in before.
fn pairs(balls: &[&Delivery]) {
    let mut batted: BTreeSet<&str> = [balls[0].batter.as_str(), balls[0].non_striker.as_str()].into();
    for (ball, next) in balls.iter().zip(&balls[1..]) {
        let boundary = ball.runs_batter == 4 || ball.runs_batter == 6 || ball.wides == 5;
        let bat = if boundary { 0 } else { ball.runs_batter + ball.wides.saturating_sub(1) };
        let crossed = u32::from(ball.wicket_kind.as_deref() == Some("run out"));
        let mut pair = [ball.batter.as_str(), ball.non_striker.as_str()];
        if (bat + ball.byes + ball.legbyes + crossed) % 2 == 1 {
            pair.reverse();
        }
        if let Some(out) = &ball.player_out {
            let place = pair.iter().position(|batter| batter == out).expect("one of the pair is out");
            let new = [&next.batter, &next.non_striker]
                .into_iter()
                .find(|batter| !batted.contains(batter.as_str()));
            pair[place] = new.expect("somebody new comes in");
            batted.insert(pair[place]);
        }
        if next.over_number != ball.over_number {
            pair.reverse();
        }
        assert_eq!([next.batter.as_str(), next.non_striker.as_str()], pair, "after {ball:?}");
    }
    assert!(batted.len() <= if balls[0].super_over { 3 } else { 11 });
}

/// Off a no-ball and the balls after it, up to a legal one, only a run out is possible.
fn free_hits(balls: &[&Delivery]) {
    let mut free_hit = false;
    for ball in balls {
        let kind = ball.wicket_kind.as_deref();
        if free_hit || ball.noballs > 0 {
            assert!(matches!(kind, None | Some("run out")), "{ball:?}");
        }
        free_hit = ball.noballs > 0 || free_hit && !is_legal(ball);
    }
}

/// The winner has more runs or, after a tie, more in the last super over.
fn result(score: &LiveScore<Option<String>>, innings: &[&[&Delivery]]) {
    assert_eq!(innings.len() % 2, 0);
    let winner = score.winning_team.as_ref().and_then(Option::as_deref);
    assert_eq!(score.target_runs, Some(i32::try_from(total(innings[0]) + 1).unwrap()));
    let side = |innings: &[&Delivery]| innings[0].batting_team.clone();
    assert_eq!(Some(side(innings[0])), score.batting_first);
    for (index, pair) in innings.chunks(2).enumerate() {
        let (first, second) = (total(pair[0]), total(pair[1]));
        assert_ne!(side(pair[0]), side(pair[1]));
        let last = index + 1 == innings.len() / 2;
        assert_eq!(first == second, !last || winner == Some("Tie"), "decided at the end only");
        if index > 0 {
            assert_eq!(side(pair[0]), side(innings[index * 2 - 1]), "who batted last bats first");
        }
        if last && first != second {
            assert_eq!(winner, Some(&*side(if first > second { pair[0] } else { pair[1] })));
        }
    }
}
