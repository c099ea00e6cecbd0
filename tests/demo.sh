#!/usr/bin/env bash
# Runs the whole pipeline: starts the services, produces 10,000 live scores, runs the sink to the end of the topic and shows the
# results; then runs the sink as a service. Running it again adds the same number of records.
#
# With a working container engine it starts everything of docker-compose.yaml. Otherwise, and with DEMO=local, it starts processes of
# this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/demo_common.sh
. tests/demo_common.sh

case ${DEMO:-} in
  local) ;;
  compose) exec tests/demo_compose.sh ;;
  "") ! has_docker || exec tests/demo_compose.sh ;;
  *) echo "DEMO must be local, compose or empty, not $DEMO" >&2 && exit 2 ;;
esac
tests/setup.sh --demo

STREAM=3000

# With BIN, a folder with the binaries, nothing is built.
bin=${BIN:-}
if [ -z "$bin" ]; then
  step "Building"
  cargo build --release --workspace --bins
  bin=${CARGO_TARGET_DIR:-target}/release
fi

step "Kafka and PostgreSQL"
addresses=$("$bin/services" up)
echo "$addresses"
BOOTSTRAP_SERVERS=$(sed -n 's/^BOOTSTRAP_SERVERS=//p' <<<"$addresses")
POSTGRES_URL=$(sed -n 's/^POSTGRES_URL=//p' <<<"$addresses")
export PRODUCER__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS
export SINK__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS SINK__POSTGRES__URL=$POSTGRES_URL
# Any free port, because a fixed one may be in use.
export PRODUCER__HTTP__LISTEN=127.0.0.1:0 SINK__HTTP__LISTEN=127.0.0.1:0
query() { psql -X -q "$POSTGRES_URL" "$@"; }

step "Producing $RECORDS live scores to $TOPIC"
"$bin/producer" --config config/producer.toml once --records "$RECORDS"

step "Writing them to $TABLE"
log=$(mktemp)
sink_pid=
clean_up() {
  [ -z "$sink_pid" ] || kill "$sink_pid"
  rm -f "$log"
}
trap clean_up EXIT
sink=("$bin/sink-connector" --config config/sink-connector.toml run)
summary=$("${sink[@]}" --until-end --summary json 2>"$log") || {
  cat "$log" >&2
  exit 1
}
tail -n 1 <<<"$summary"

step "Rows in $TABLE"
query -At -c "SELECT count(*) FROM $TABLE"
query -c "$SAMPLE"

step "Positions in PostgreSQL, in the same transaction as the rows"
query -c "SELECT * FROM sink_offsets ORDER BY 1, 2, 3"

step "Positions and lag, as Kafka's own consumer-group tool sees them"
"$bin/services" group "$GROUP"

step "This run"
number() { sed -n -E "s/.*\"$1\":([0-9]+).*/\1/p" <<<"$(tail -n 1 <<<"$summary")"; }
awk -v records="$(number records)" -v rows="$(number rows_written)" -v dead="$(number dead_letters)" -v ms="$(number duration_ms)" 'BEGIN {
  printf "%d records, %d rows, %d dead letters in %d ms from start to end", records, rows, dead, ms
  if (ms > 0) printf ": %d rows/s\n", rows * 1000 / ms; else print ""
}'

step "As a service: $STREAM more at 1,000 per second, written as they arrive"
"${sink[@]}" 2>"$log" &
sink_pid=$!
http=
for _ in $(seq 100); do
  http=$(sed -n -E '/.*http=([0-9.:]+).*/{s//\1/p;q;}' "$log")
  [ -n "$http" ] && curl -sf "http://$http/readyz" >/dev/null && break
  kill -0 "$sink_pid" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.1
done
"$bin/producer" --config config/producer.toml run --records "$STREAM" --rate 1000/s
for _ in $(seq 100); do
  metrics=$(curl -sf "http://$http/metrics")
  consumed=$(awk '/^sink_records_consumed_total/ { n += $NF } END { print n + 0 }' <<<"$metrics")
  [ "$consumed" -ge "$STREAM" ] && break
  sleep 0.1
done
show_metrics "$metrics"
kill "$sink_pid"
wait "$sink_pid"
sink_pid=

step "Next steps"
cat <<EOF
  look at the table      psql $POSTGRES_URL
  keep the sink running  SINK__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS SINK__POSTGRES__URL=$POSTGRES_URL \\
                         $bin/sink-connector --config config/sink-connector.toml run
  what it does           http://localhost:9464/ in a browser, or curl localhost:9464/status
  its metrics            curl localhost:9464/metrics
  keep producing         PRODUCER__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS \\
                         $bin/producer --config config/producer.toml run
  stop, delete all data  make down
EOF
