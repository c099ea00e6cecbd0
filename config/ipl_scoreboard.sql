-- The live scores of matches that are published with every ball: the columns of ipl_livescores, and the version that keeps an older
-- record from overwriting a newer row. A table ipl_livescores that exists takes them after
-- ALTER TABLE ipl_livescores ADD version BIGINT;
CREATE TABLE IF NOT EXISTS ipl_scoreboard (
    match_id         TEXT PRIMARY KEY,
    league_name      TEXT,
    season           INT,
    team1            TEXT,
    team2            TEXT,
    venue            TEXT,
    match_date       TEXT,
    start_time       TEXT,
    match_status     TEXT,
    score1           INT,
    score2           INT,
    wickets1         INT,
    wickets2         INT,
    runs1            INT,
    runs2            INT,
    overs1           FLOAT,
    overs2           FLOAT,
    man_of_the_match TEXT,
    umpire1          TEXT,
    umpire2          TEXT,
    match_type       TEXT,
    toss_winner      TEXT,
    batting_first    TEXT,
    total_runs       INT,
    extra_runs       INT,
    target_runs      INT,
    match_duration   INT,
    winning_team     TEXT,
    version          BIGINT
);
