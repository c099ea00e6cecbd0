"""The pipeline of the IPL live scores: create the table, publish 100 live scores, write them.

Environment of the workers: SINK__KAFKA__BOOTSTRAP_SERVERS, SINK__POSTGRES__URL and PRODUCER__KAFKA__BOOTSTRAP_SERVERS; both binaries
and psql on the PATH. LIVESCORES_HOME is the folder with `config/` (default: /opt/livescores).
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset
from sink_connector_operator import SinkRunOperator

HOME = os.environ.get("LIVESCORES_HOME", "/opt/livescores")

default_args = {
    "owner": "airflow",
    "depends_on_past": False,
    "retries": 1,
    "retry_delay": timedelta(minutes=5),
    "cwd": HOME,
    "append_env": True,
    # Several runs may share a worker: none of them listens.
    "env": {"SINK__HTTP__LISTEN": "off", "PRODUCER__HTTP__LISTEN": "off"},
}

with DAG(
    "ipl_livescores_pipeline",
    default_args=default_args,
    description="Generates IPL live scores and stores them in PostgreSQL",
    schedule=timedelta(minutes=1),
    start_date=datetime(2024, 1, 1),
    catchup=False,
    # One after the other; together, two runs would share the partitions of the group.
    max_active_runs=1,
) as dag:
    create_table = BashOperator(
        task_id="create_ipl_livescores_table",
        bash_command='psql -X -q -v ON_ERROR_STOP=1 -f config/ipl_livescores.sql "$SINK__POSTGRES__URL"',
        do_xcom_push=False,
    )
    # Exits with 0 if all 100 are acknowledged by all in-sync replicas. A retry publishes 100 others.
    generate_ipl_data = BashOperator(
        task_id="generate_ipl_data",
        bash_command="producer once --records 100",
        do_xcom_push=False,
    )
    # 100 at most, and never waits for records that do not come: what is left is written by the next run.
    consume_from_kafka = SinkRunOperator(
        task_id="consume_from_kafka",
        bash_command="sink-connector run --max-records 100 --until-end --deadline 5m --summary json",
        outlets=[Asset("ipl_livescores")],
    )

    create_table >> generate_ipl_data >> consume_from_kafka
