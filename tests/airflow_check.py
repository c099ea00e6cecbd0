"""Runs the DAGs of examples/airflow and compares what they leave: rows, task states, XComs. tests/airflow.sh prepares everything."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import types
import unittest
import unittest.mock
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
HAS_OFFSETS = "SELECT to_regclass('sink_offsets') IS NOT NULL"
LOG = Path(os.environ["AIRFLOW_HOME"]) / "check.log"


def run(*command: str, **variables: str) -> None:
    """Runs a command; its output goes to the log, which is shown if it fails."""
    with LOG.open("a") as log:
        outcome = subprocess.run(command, env={**os.environ, **variables}, stdout=log, stderr=log)
    if outcome.returncode != 0:
        sys.exit(f"{command} exited with {outcome.returncode}:\n{LOG.read_text()[-8000:]}")


def psql(query: str) -> str:
    command = ["psql", "-XAtq", "-c", query, os.environ["SINK__POSTGRES__URL"]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def rows() -> int:
    """The rows of the table; 0 if the sink has not made it yet."""
    exists = psql("SELECT to_regclass('ipl_livescores') IS NOT NULL") == "t"
    return int(psql("SELECT count(*) FROM ipl_livescores")) if exists else 0


def airflow_db(query: str) -> list[tuple]:
    with sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db") as db:
        return db.execute(query).fetchall()


def states(dag_id: str) -> dict[str, str]:
    """The states of the tasks in the last run of a DAG."""
    last = f"SELECT run_id FROM dag_run WHERE dag_id = '{dag_id}' ORDER BY id DESC LIMIT 1"
    tasks = f"SELECT task_id, state FROM task_instance WHERE dag_id = '{dag_id}' AND run_id = ({last}) ORDER BY start_date"
    return dict(airflow_db(tasks))


def xcom(dag_id: str, task_id: str):
    """The XCom of a task in the last run of a DAG."""
    last = f"SELECT max(id) FROM dag_run WHERE dag_id = '{dag_id}'"
    rows = airflow_db(f"SELECT value FROM xcom WHERE task_id = '{task_id}' AND dag_run_id = ({last})")
    value = json.loads(rows[-1][0])
    return json.loads(value) if isinstance(value, str) else value


def test_dag(dag_id: str, **variables: str) -> None:
    """Runs a DAG as `airflow dags test` does. A failed task does not fail the command."""
    command = ["airflow", "dags", "test", dag_id]
    with LOG.open("a") as log:
        subprocess.run(command, env={**os.environ, **variables}, stdout=log, stderr=log)


class Pipeline(unittest.TestCase):
    """The original DAG."""

    DAG = "ipl_livescores_pipeline"

    def test_each_run_adds_its_hundred_rows_and_its_summary_is_the_xcom(self):
        # The table may not exist yet.
        before = int(psql("SELECT coalesce(sum(next_offset), 0) FROM sink_offsets") if psql(HAS_OFFSETS) == "t" else 0)
        for wanted in (before + 100, before + 200):
            test_dag(self.DAG)
            self.assertEqual(set(states(self.DAG).values()), {"success"}, states(self.DAG))
            self.assertEqual(list(states(self.DAG)), ["create_ipl_livescores_table", "generate_ipl_data", "consume_from_kafka"])
            self.assertEqual(psql("SELECT count(*), count(DISTINCT match_id) FROM ipl_livescores"), f"{wanted}|{wanted}")
            self.assertEqual(psql("SELECT sum(next_offset) FROM sink_offsets"), f"{wanted}")
            summary = xcom(self.DAG, "consume_from_kafka")
            self.assertEqual((summary["records"], summary["rows_written"], summary["dead_letters"]), (100, 100, 0))
            self.assertEqual((summary["exit_code"], summary["problems"]), (0, []))

    def test_a_configuration_error_fails_the_task_without_a_retry_and_is_in_the_xcom(self):
        test_dag(self.DAG, SINK__BATCH__MAX_ROWS="none")
        self.assertEqual(states(self.DAG)["consume_from_kafka"], "failed")
        summary = xcom(self.DAG, "consume_from_kafka")
        self.assertEqual((summary["stopped_by"], summary["exit_code"]), ("error", 2))
        self.assertIn("batch.max_rows", summary["problems"][0]["reason"])
        # Its records are written by the next run.
        before = rows()
        run("sink-connector", "run", "--until-end", SINK__HTTP__LISTEN="off")
        self.assertEqual(rows(), before + 100)


class Operators(unittest.TestCase):
    """What becomes of each exit code."""

    def outcome(self, script: str):
        from sink_connector_operator import SinkRunOperator

        pushed = {}
        task = SinkRunOperator(task_id="t", bash_command=script)
        ti = types.SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
        try:
            return task.execute({"ti": ti}), pushed
        except Exception as error:
            return type(error).__name__, pushed

    def test_exit_codes_become_states_and_the_last_line_the_xcom(self):
        expected = {0: {"n": 1}, 1: "AirflowException", 2: "AirflowFailException", 3: "AirflowFailException", 4: "AirflowFailException", 5: "AirflowException"}
        for code, wanted in expected.items():
            outcome, pushed = self.outcome(f"echo log >&2; echo '{{\"n\": 1}}'; exit {code}")
            self.assertEqual(outcome, wanted, code)
            self.assertEqual(pushed, {} if code == 0 else {"return_value": {"n": 1}}, code)

    def test_a_pod_that_ended_with_a_configuration_error_is_not_retried(self):
        from airflow.sdk.exceptions import AirflowException, AirflowFailException
        from ipl_livescores_kubernetes import dag
        from kubernetes.client import models as k8s

        task = dag.get_task("write_ipl_livescores")
        self.assertEqual(task.arguments[-2:], ["--summary-file", "/airflow/xcom/return.json"])
        # No cluster answers here.
        task.client = unittest.mock.MagicMock()
        task.hook = unittest.mock.MagicMock()
        for code, wanted in {1: AirflowException, 2: AirflowFailException, 5: AirflowException}.items():
            terminated = k8s.V1ContainerStateTerminated(exit_code=code)
            status = k8s.V1ContainerStatus(
                name=task.base_container_name, image="i", image_id="i", ready=False, restart_count=0,
                state=k8s.V1ContainerState(terminated=terminated),
            )
            pod = k8s.V1Pod(
                metadata=k8s.V1ObjectMeta(name="p"), spec=k8s.V1PodSpec(containers=[]),
                status=k8s.V1PodStatus(phase="Failed", container_statuses=[status]),
            )
            pushed = []
            ti = types.SimpleNamespace(xcom_push=lambda key, value: pushed.append((key, value)))
            with self.assertRaises(AirflowException) as raised:
                task.cleanup(pod, pod, xcom_result={"exit_code": code}, context={"ti": ti})
            self.assertIs(type(raised.exception), wanted, code)
            self.assertEqual(pushed, [("return_value", {"exit_code": code})])


class OnRecords(unittest.TestCase):
    """The DAG that records start."""

    DAG = "ipl_livescores_on_records"

    def test_a_record_is_an_event_and_the_run_that_it_starts_writes_the_table(self):
        from ipl_livescores_on_records import records

        run("producer", "once", "--records", "5")
        trigger = records.watchers[0].trigger

        async def first_event():
            async for event in trigger.run():
                return event.payload

        event = asyncio.run(asyncio.wait_for(first_event(), 60))
        self.assertEqual(event["topic"], "livescores_topic")
        self.assertGreaterEqual(event["offset"], 0)
        before = rows()
        test_dag(self.DAG)
        self.assertEqual(states(self.DAG), {"write_ipl_livescores": "success"})
        self.assertEqual(xcom(self.DAG, "write_ipl_livescores")["rows_written"], 5)
        self.assertEqual(rows(), before + 5)


class Imports(unittest.TestCase):
    def test_every_dag_is_found_without_an_import_error(self):
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        self.assertEqual(bag.import_errors, {})
        self.assertEqual(set(bag.dags), {Pipeline.DAG, OnRecords.DAG, "ipl_livescores_kubernetes"})


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.argv += ["Imports", "Operators", "Pipeline", "OnRecords"]
    unittest.main(verbosity=2)
