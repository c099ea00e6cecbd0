#!/usr/bin/env bash
# Random schemas and values through Kafka Connect's own JsonConverter and the sink, compared with what PostgreSQL then holds.
# SEED=N repeats a run; TABLES and ROWS set its size. Needs Maven Central the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/peer-suites/common.sh

libraries golden
compile golden "$work/golden/libs/*" tests/peer-suites/golden/*.java
start_services
java -cp "$work/golden/classes:$work/golden/libs/*" GoldenEnvelopes "$bin/sink-connector" "$work/golden" "$BOOTSTRAP_SERVERS" "$JDBC_URL" \
  "$POSTGRES_URL" "${SEED:-$(date +%s)}" "${TABLES:-60}" "${ROWS:-40}"
