"""Writes the live scores when records arrive: a trigger waits for a record, and a bounded run writes all that there are.

The trigger needs the connection `kafka_livescores` (type kafka), whose `group.id` is not the group of the sink:
    {"bootstrap.servers": "localhost:9092", "group.id": "airflow_livescores", "auto.offset.reset": "earliest",
     "enable.auto.commit": "false"}
Each record is an event. Events during a run are queued and start one run together; a run that finds nothing new ends at once.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger
from airflow.sdk import DAG, Asset, AssetWatcher
from sink_connector_operator import SinkRunOperator

TOPIC = "livescores_topic"


def place_of(record) -> dict:
    """What the event says of the record that caused it. The values stay in Kafka."""
    return {"topic": record.topic(), "partition": record.partition(), "offset": record.offset()}


records = Asset(
    "livescores_topic",
    watchers=[
        AssetWatcher(
            name="livescores_records",
            trigger=MessageQueueTrigger(
                scheme="kafka",
                kafka_config_id="kafka_livescores",
                topics=[TOPIC],
                apply_function="ipl_livescores_on_records.place_of",
            ),
        )
    ],
)

with DAG(
    "ipl_livescores_on_records",
    description="Writes live scores to PostgreSQL when records arrive",
    schedule=[records],
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "airflow", "retries": 3, "retry_delay": timedelta(seconds=30)},
) as dag:
    SinkRunOperator(
        task_id="write_ipl_livescores",
        bash_command="sink-connector run --until-end --deadline 10m --summary json",
        cwd=os.environ.get("LIVESCORES_HOME", "/opt/livescores"),
        append_env=True,
        env={"SINK__HTTP__LISTEN": "off"},
        # Other DAGs can be scheduled on the table.
        outlets=[Asset("ipl_livescores")],
    )
