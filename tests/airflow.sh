#!/usr/bin/env bash
# Runs the DAGs of examples/airflow in a real Airflow, installed from PyPI into an environment of its own, against a Kafka and a
# PostgreSQL that are started for it. Needs Python 3.10 to 3.13 with venv; some minutes the first time, half a minute later.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
home=$target/airflow
mkdir -p "$home"

cargo build --profile checked -p sink-connector -p producer -p tests --bins
bin=$target/checked

# uv resolves Airflow's dependencies in seconds, pip in minutes.
if ! cmp -s examples/airflow/requirements.txt "$home/requirements.txt"; then
  rm -rf "$home/venv"
  "${PYTHON:-python3}" -m venv "$home/venv"
  "$home/venv/bin/pip" install --quiet --disable-pip-version-check uv
  VIRTUAL_ENV=$home/venv "$home/venv/bin/uv" pip install --quiet -r examples/airflow/requirements.txt
  cp examples/airflow/requirements.txt "$home/requirements.txt"
fi

services=("$bin/services" --dir "$home/services")
trap '"${services[@]}" down' EXIT
addresses=$("${services[@]}" up)
BOOTSTRAP_SERVERS=$(sed -n 's/^BOOTSTRAP_SERVERS=//p' <<<"$addresses")
POSTGRES_URL=$(sed -n 's/^POSTGRES_URL=//p' <<<"$addresses")

rm -rf "${home:?}/home"
export AIRFLOW_HOME=$home/home AIRFLOW__CORE__DAGS_FOLDER=$PWD/examples/airflow/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$AIRFLOW__CORE__DAGS_FOLDER PATH=$bin:$home/venv/bin:$PATH
export PRODUCER__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS SINK__KAFKA__BOOTSTRAP_SERVERS=$BOOTSTRAP_SERVERS
export SINK__POSTGRES__URL=$POSTGRES_URL LIVESCORES_HOME=$PWD
AIRFLOW_CONN_KAFKA_LIVESCORES=$(printf '{"conn_type": "kafka", "extra": {"bootstrap.servers": "%s", "group.id": "airflow_livescores",
  "auto.offset.reset": "earliest", "enable.auto.commit": "false"}}' "$BOOTSTRAP_SERVERS")
export AIRFLOW_CONN_KAFKA_LIVESCORES

airflow db migrate >"$home/migrate.log" 2>&1 || { cat "$home/migrate.log"; exit 1; }
python tests/airflow_check.py "$@"
