#!/usr/bin/env bash
# The demo in containers: starts everything of docker-compose.yaml, produces 10,000 live scores in addition to those of the producer's
# container, and shows the results. Running it again adds the same number of records.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/demo_common.sh
. tests/demo_common.sh

sink=http://127.0.0.1:${SINK_PORT:-9464}
query() { docker compose exec -T postgres psql -X -q -U postgres "$@"; }
count() { query -At -c "SELECT count(*) FROM $TABLE" 2>/dev/null || echo 0; }
# Prints the lag of all partitions together; nothing as long as the lag of a partition is unknown.
total_lag() {
  docker compose exec -T sink sink-connector offsets show |
    awk 'NR > 1 && NF == 6 { n++; lag += $NF; if ($NF == "-") unknown = 1 } END { if (n && !unknown) print lag }'
}

step "Images, Kafka, PostgreSQL, sink, producer, Prometheus, Grafana"
REVISION=$(git rev-parse HEAD 2>/dev/null || true)
export REVISION
docker compose up --build --detach --wait

before=$(count)
step "Producing $RECORDS live scores to $TOPIC, in addition to a batch every 5 s"
docker compose run --rm --no-deps -T producer --config config/producer.toml once --records "$RECORDS"

step "Rows in $TABLE"
deadline=$((SECONDS + 60))
until [ "$(count)" -ge $((before + RECORDS)) ] && [ "$(total_lag)" = 0 ]; do
  [ $SECONDS -lt $deadline ] || {
    echo "After 60 s not all records are written:" >&2
    docker compose logs --tail 20 sink >&2
    exit 1
  }
  sleep 0.5
done
count
query -c "$SAMPLE"

step "Positions in PostgreSQL, in the same transaction as the rows"
query -c "SELECT * FROM sink_offsets ORDER BY 1, 2, 3"

step "Positions and lag, as the sink and as Kafka's own consumer-group tool see them"
docker compose exec -T sink sink-connector offsets show
docker compose exec -T kafka /opt/kafka/bin/kafka-consumer-groups.sh --bootstrap-server kafka:19092 --describe --group "$GROUP"

step "Some of the sink's metrics"
show_metrics "$(curl -sf "$sink/metrics")"

step "Next steps"
cat <<EOF
  dashboards             http://localhost:${GRAFANA_PORT:-3000}
  alerts                 http://localhost:${PROMETHEUS_PORT:-9090}/alerts
  look at the table      docker compose exec postgres psql -U postgres
  the sink's commands    docker compose exec sink sink-connector check
  its metrics            curl $sink/metrics
  stop, delete all data  make down
EOF
