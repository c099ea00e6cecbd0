//! One simulated match: toss, two innings, super overs while it is tied, result.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cast::Cast;
use crate::generate::{START_TIMES, sides};
use crate::live::attack::{Attack, BOWLERS};
use crate::live::ball::{Ball, Name, Wicket};
use crate::live::chance::{Chance, Dismissal, Situation, draw};
use crate::live::crease::{Crease, ELEVEN};
use crate::live::scorebook::{Fixture, Outcome, Scorebook};
use crate::seasons::SEASONS;
use crate::teams::{TEAMS, Team, teams_of};

/// Overs of an innings.
pub(crate) const OVERS: u32 = 20;
/// Legal balls of an over.
pub(crate) const BALLS: u32 = 6;
/// Wickets that end an innings.
pub(crate) const ALL_OUT: u32 = 10;
/// Wickets that end an innings of a super over.
pub(crate) const SUPER_OVER_ALL_OUT: u32 = 2;
/// Super overs for which there is time. If all are tied, so is the match.
pub(crate) const MOST_SUPER_OVERS: usize = 3;
/// The over of an innings in which chances are those of a super over.
const LAST_OVER: u32 = OVERS;
/// What a wicket is worth in runs, for the man of the match.
const WICKET_IN_RUNS: u32 = 22;

// Playing time, in seconds.
const BALL_SECONDS: u32 = 38;
const WICKET_SECONDS: u32 = 75;
const OVER_SECONDS: u32 = 50;
const INTERVAL_SECONDS: u32 = 15 * 60;
const SUPER_OVER_INTERVAL_SECONDS: u32 = 5 * 60;

/// The players of a side in their batting order.
type Eleven = [&'static str; ELEVEN];

/// A match that is played.
#[derive(Debug)]
pub(crate) struct Game {
    rng: ChaCha8Rng,
    book: Scorebook,
    elevens: [Eleven; 2],
    innings: Option<Innings>,
    /// Innings that have begun.
    begun: usize,
    tallies: [[Tally; ELEVEN]; 2],
}

/// What a player has done in the match.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    runs: u32,
    wickets: u32,
    /// Dismissal in a super over, or has bowled one: not again in the next.
    super_over_out: bool,
    super_over_bowled: bool,
}

/// The innings that is played.
#[derive(Debug)]
struct Innings {
    side: usize,
    super_over: bool,
    crease: Crease,
    attack: Attack,
    bowler: usize,
    /// The over, from 1.
    over: u32,
    /// Legal balls of the over.
    legal: u32,
    score: u32,
    wickets: u32,
    target: Option<u32>,
    free_hit: bool,
}

impl Innings {
    fn is_over(&self) -> bool {
        let (all_out, overs) = if self.super_over { (SUPER_OVER_ALL_OUT, 1) } else { (ALL_OUT, OVERS) };
        self.wickets == all_out
            || self.over == overs && self.legal == BALLS
            || self.target.is_some_and(|target| self.score >= target)
    }
}

impl Game {
    /// A match with this seed and id, after the toss. It depends on nothing else, apart from the umpires of the cast.
    pub(crate) fn toss(seed: u64, match_id: String, cast: &Cast) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let season = &SEASONS[rng.random_range(0..SEASONS.len())];
        let (sides, toss_winner) = sides(&mut rng, teams_of(season.year).len());
        let [home, visitors] = [&TEAMS[sides.home], &TEAMS[sides.away]];
        let (umpire1, umpire2) = cast.umpires(&mut rng);
        let fixture = Fixture {
            match_id,
            league_name: "IPL".into(),
            season: season.year,
            teams: [home.name.into(), visitors.name.into()],
            venue: home.grounds[rng.random_range(0..home.grounds.len())].into(),
            match_date: season.days[rng.random_range(0..season.days.len())].as_str().into(),
            start_time: Some(START_TIMES[rng.random_range(0..START_TIMES.len())].into()),
            umpires: [Some(umpire1.to_owned().into()), Some(umpire2.to_owned().into())],
            match_type: "T20".into(),
            toss_winner: Some(TEAMS[toss_winner].name.into()),
            batting_first: usize::from(sides.batting_first != sides.home),
        };
        Self {
            rng,
            book: Scorebook::new(fixture, true),
            elevens: [eleven(home), eleven(visitors)],
            innings: None,
            begun: 0,
            tallies: [[Tally::default(); ELEVEN]; 2],
        }
    }

    /// The scorebook.
    pub(crate) fn book(&self) -> &Scorebook {
        &self.book
    }

    /// Bowls the next ball, in a new innings if the last one is over. Not to be called after the result.
    pub(crate) fn next_ball(&mut self) {
        let mut innings = match self.innings.take() {
            Some(innings) if !innings.is_over() => innings,
            _ => self.next_innings(),
        };
        if innings.legal == BALLS {
            innings.over += 1;
            innings.legal = 0;
            innings.bowler = innings.attack.next(&mut self.rng);
        }
        self.bowl(&mut innings);
        if innings.is_over() {
            self.end_innings(&innings);
        }
        self.innings = Some(innings);
    }

    /// Opens the next innings. In a super over, the side that batted last bats first.
    fn next_innings(&mut self) -> Innings {
        let first = self.book.fixture().batting_first;
        // First, second, and then by super overs: second, first; first, second; …
        let side = if self.begun.div_ceil(2).is_multiple_of(2) { first } else { 1 - first };
        let super_over = self.begun >= 2;
        let target = (self.begun % 2 == 1).then(|| self.book.score_of(self.begun - 1) + 1);
        if self.begun > 0 {
            self.book.pass(if super_over { SUPER_OVER_INTERVAL_SECONDS } else { INTERVAL_SECONDS });
        }
        self.begun += 1;
        self.book.open_innings(side, super_over);
        let mut attack = Attack::default();
        let (crease, bowler) = if super_over {
            let out = |player: &usize| !self.tallies[side][*player].super_over_out;
            let batters: Vec<usize> = (0..ELEVEN).filter(out).take(3).collect();
            (Crease::new(batters.into_iter()), self.super_over_bowler(1 - side))
        } else {
            (Crease::new(0..ELEVEN), attack.next(&mut self.rng))
        };
        Innings {
            side,
            super_over,
            crease,
            attack,
            bowler,
            over: 1,
            legal: 0,
            score: 0,
            wickets: 0,
            target,
            free_hit: false,
        }
    }

    /// A bowler who has not bowled a super over: there are more bowlers than super overs.
    fn super_over_bowler(&mut self, side: usize) -> usize {
        let tallies = &mut self.tallies[side];
        let left: Vec<usize> =
            (ELEVEN - BOWLERS..ELEVEN).filter(|player| !tallies[*player].super_over_bowled).collect();
        let bowler = left[self.rng.random_range(0..left.len())];
        tallies[bowler].super_over_bowled = true;
        bowler
    }

    fn bowl(&mut self, innings: &mut Innings) {
        let situation = Situation {
            over: if innings.super_over { LAST_OVER } else { innings.over },
            position: innings.crease.striker,
            free_hit: innings.free_hit,
            needed: innings.target.map(|target| target - innings.score),
        };
        let chance = draw(&mut self.rng, situation);
        let (striker, partner) = (innings.crease.striker, innings.crease.partner);
        let out = chance
            .out
            .map(|out| (out, if out == (Dismissal::RunOut { partner: true }) { partner } else { striker }));
        let ball = self.ball(innings, &chance, out);

        innings.score += chance.runs + chance.extras.total();
        innings.free_hit = chance.extras.noballs > 0 || innings.free_hit && !ball.is_legal();
        innings.legal += u32::from(ball.is_legal());
        innings.crease.run(chance.crossed);
        if let Some((_, player)) = out {
            innings.wickets += 1;
            innings.crease.replace(player);
        }
        if ball.ends_over {
            innings.crease.change_ends();
        }
        self.note(innings, &chance, out, striker);
        self.book.pass(BALL_SECONDS + if out.is_some() { WICKET_SECONDS } else { 0 });
        if ball.ends_over {
            self.book.pass(OVER_SECONDS);
        }
        self.book.add(ball);
    }

    /// The ball with names.
    fn ball(&mut self, innings: &Innings, chance: &Chance, out: Option<(Dismissal, usize)>) -> Ball {
        let (batting, bowling) = (&self.elevens[innings.side], &self.elevens[1 - innings.side]);
        let bowler = bowling[innings.bowler];
        let wicket = out.map(|(out, player)| Wicket {
            kind: kind(out).into(),
            player_out: batting[player].into(),
            fielder: fielder(&mut self.rng, out, innings.bowler).map(|player| bowling[player].into()),
        });
        let mut ball = Ball {
            over: innings.over,
            batter: batting[innings.crease.striker].into(),
            non_striker: batting[innings.crease.partner].into(),
            bowler: bowler.into(),
            runs: chance.runs,
            extras: chance.extras,
            wickets: wicket.into_iter().collect(),
            ends_over: false,
        };
        ball.ends_over = innings.legal + u32::from(ball.is_legal()) == BALLS;
        ball
    }

    /// Notes what the players have done. Super overs do not count.
    fn note(&mut self, innings: &Innings, chance: &Chance, out: Option<(Dismissal, usize)>, striker: usize) {
        let side = innings.side;
        if innings.super_over {
            if let Some((_, player)) = out {
                self.tallies[side][player].super_over_out = true;
            }
            return;
        }
        self.tallies[side][striker].runs += chance.runs;
        let bowled_out = out.is_some_and(|(out, _)| !matches!(out, Dismissal::RunOut { .. }));
        self.tallies[1 - side][innings.bowler].wickets += u32::from(bowled_out);
    }

    /// Sets the target after the first innings, and completes the match if it is decided.
    fn end_innings(&mut self, innings: &Innings) {
        if self.begun == 1 {
            self.book.set_target(innings.score + 1);
        }
        if !self.begun.is_multiple_of(2) {
            return;
        }
        let others = self.book.score_of(self.begun - 2);
        let winner = match innings.score.cmp(&others) {
            std::cmp::Ordering::Greater => Some(innings.side),
            std::cmp::Ordering::Less => Some(1 - innings.side),
            std::cmp::Ordering::Equal if self.begun / 2 > MOST_SUPER_OVERS => None,
            std::cmp::Ordering::Equal => return,
        };
        let man_of_the_match = Some(self.best(winner));
        let winner = winner.map_or("Tie".into(), |side| self.book.fixture().teams[side].clone());
        self.book.complete(Outcome { winner: Some(winner), man_of_the_match });
    }

    /// The best player: of the side that won, if there is one.
    fn best(&self, winner: Option<usize>) -> Name {
        let mut best = (0, "");
        for side in 0..2 {
            for (player, tally) in self.tallies[side].iter().enumerate() {
                let worth = tally.runs + tally.wickets * WICKET_IN_RUNS + 1;
                if winner.is_none_or(|winner| winner == side) && worth > best.0 {
                    best = (worth, self.elevens[side][player]);
                }
            }
        }
        best.1.into()
    }
}

/// The batting order: the captain bats third, the bowlers are at the end.
fn eleven(team: &'static Team) -> Eleven {
    let mut order = [team.captain; ELEVEN];
    for (place, player) in (0..ELEVEN).filter(|place| *place != 2).zip(team.players) {
        order[place] = player;
    }
    order
}

fn kind(out: Dismissal) -> &'static str {
    match out {
        Dismissal::Bowled => "bowled",
        Dismissal::Caught => "caught",
        Dismissal::CaughtAndBowled => "caught and bowled",
        Dismissal::Lbw => "lbw",
        Dismissal::Stumped => "stumped",
        Dismissal::HitWicket => "hit wicket",
        Dismissal::RunOut { .. } => "run out",
    }
}

/// Who had a part in it beside the bowler. The first of the batting order keeps wicket.
fn fielder(rng: &mut impl Rng, out: Dismissal, bowler: usize) -> Option<usize> {
    match out {
        Dismissal::Bowled | Dismissal::Lbw | Dismissal::HitWicket | Dismissal::CaughtAndBowled => None,
        Dismissal::Stumped => Some(0),
        Dismissal::Caught => {
            let other = rng.random_range(0..ELEVEN - 1);
            Some(other + usize::from(other >= bowler))
        }
        Dismissal::RunOut { .. } => Some(rng.random_range(0..ELEVEN)),
    }
}
