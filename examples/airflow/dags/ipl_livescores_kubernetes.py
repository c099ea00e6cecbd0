"""The same bounded run in a pod, for workers that have no binaries.

SINK_IMAGE and SINK_NAMESPACE choose image and namespace. The secret `livescores-sink` has the key `postgres-url`.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.providers.cncf.kubernetes.secret import Secret
from airflow.sdk import DAG, Asset
from kubernetes.client import models as k8s
from sink_connector_pod_operator import SinkRunPodOperator

with DAG(
    "ipl_livescores_kubernetes",
    description="Writes live scores to PostgreSQL, in a pod",
    schedule=timedelta(minutes=10),
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "airflow", "retries": 3, "retry_delay": timedelta(seconds=30)},
) as dag:
    SinkRunPodOperator(
        task_id="write_ipl_livescores",
        name="write-ipl-livescores",
        namespace=os.environ.get("SINK_NAMESPACE", "livescores"),
        image=os.environ.get("SINK_IMAGE", "livescores/sink-connector:0.1.0"),
        arguments=["run", "--until-end", "--deadline", "10m"],
        env_vars={
            "SINK__KAFKA__BOOTSTRAP_SERVERS": os.environ.get("SINK__KAFKA__BOOTSTRAP_SERVERS", "kafka:9092"),
            "SINK__HTTP__LISTEN": "off",
        },
        secrets=[Secret("env", "SINK__POSTGRES__URL", "livescores-sink", "postgres-url")],
        container_security_context=k8s.V1SecurityContext(
            read_only_root_filesystem=True,
            allow_privilege_escalation=False,
            run_as_non_root=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "256Mi"}
        ),
        # A frozen node does not hold up the next run: positions and rows are fenced.
        active_deadline_seconds=15 * 60,
        outlets=[Asset("ipl_livescores")],
    )
