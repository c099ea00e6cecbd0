#!/usr/bin/env bash
# Shows live matches on the terminal: the producer plays them ball by ball, the sink keeps one row for each match up to date, and psql
# shows the table, for SHOW seconds (30). Then everything that this script started is stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/demo_common.sh
. tests/demo_common.sh

SHOW=${SHOW:-30}   # seconds
RATE=${RATE:-40/s} # balls of all matches together
tests/setup.sh --demo

step "Building"
cargo build --release --workspace --bins
bin=${CARGO_TARGET_DIR:-target}/release

pids=()
started=
logs=$(mktemp -d)
clean_up() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || continue
    wait "$pid" || true
  done
  rm -rf "$logs"
  [ -z "$started" ] || "$bin/services" down
}
trap clean_up EXIT
trap 'exit 130' INT TERM

step "Kafka and PostgreSQL"
"$bin/services" status >/dev/null 2>&1 || started=yes
addresses=$("$bin/services" up)
echo "$addresses"
BOOTSTRAP_SERVERS=$(sed -n 's/^BOOTSTRAP_SERVERS=//p' <<<"$addresses")
POSTGRES_URL=$(sed -n 's/^POSTGRES_URL=//p' <<<"$addresses")
export PRODUCER__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS
export SINK__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS SINK__POSTGRES__URL=$POSTGRES_URL
export PRODUCER__HTTP__LISTEN=off SINK__HTTP__LISTEN=off
query() { psql -X -q "$POSTGRES_URL" "$@"; }

step "Four matches at a time, $RATE, into ipl_scoreboard and ipl_deliveries"
"$bin/producer" run --scenario live --topic live_scores --deliveries-topic live_deliveries --rate "$RATE" 2>"$logs/producer" &
pids+=($!)
"$bin/sink-connector" --config config/live.toml run 2>"$logs/sink" &
pids+=($!)
running() {
  for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || { cat "$logs"/*; exit 1; }
  done
}

SCOREBOARD="SELECT team1, score1 || '/' || wickets1 AS runs, overs1 AS overs, team2, score2 || '/' || wickets2 AS runs,
  overs2 AS overs, target_runs AS target, coalesce(winning_team, match_status) AS result, version AS record
  FROM ipl_scoreboard ORDER BY match_status = 'Completed', match_id LIMIT 12"
# The balls of a match are those of its live score: both tables agree, although their topics are read separately.
MISSING="SELECT count(*) FROM ipl_scoreboard s WHERE version - 1 <>
  (SELECT count(*) FROM ipl_deliveries d WHERE d.match_id = s.match_id)"

for _ in $(seq 200); do
  running
  [ "$(query -At -c "SELECT to_regclass('ipl_scoreboard') IS NOT NULL AND to_regclass('ipl_deliveries') IS NOT NULL")" = t ] && break
  sleep 0.1
done
pause=1
[ -t 1 ] || pause=10
until=$((SECONDS + SHOW))
while [ $SECONDS -lt "$until" ]; do
  running
  shown=$(query -P footer=off -P null=- -c "$SCOREBOARD")
  [ ! -t 1 ] || printf '\033[H\033[2J'
  printf '%s\n\n%s seconds left\n' "$shown" "$((until - SECONDS))"
  sleep "$pause"
done

step "The producer stops, and the sink writes what is left"
kill "${pids[0]}"
wait "${pids[0]}"
pids=("${pids[1]}")
for _ in $(seq 100); do
  running
  missing=$(query -At -c "$MISSING")
  [ "$missing" != 0 ] || break
  sleep 0.1
done
query -P footer=off -c "SELECT count(*) AS matches, count(winning_team) AS completed, sum(version) AS records_of_scores,
  (SELECT count(*) FROM ipl_deliveries) AS balls, (SELECT sum(runs_total) FROM ipl_deliveries) AS runs FROM ipl_scoreboard"
if [ "$missing" != 0 ]; then
  echo "$missing matches have other balls than their live score counts." >&2
  exit 1
fi
[ -n "$started" ] || echo "Kafka and PostgreSQL were running before, and go on: make down stops them."
