"""The operator of sink_connector_operator.py for workers that have no binaries: it runs the image in a pod."""

from __future__ import annotations

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from sink_connector_operator import NOT_RETRIED


class SinkRunPodOperator(KubernetesPodOperator):
    """Runs the image of sink-connector in a pod, whose summary file becomes the XCom, also if the run fails."""

    def __init__(self, *, arguments: list[str], **kwargs) -> None:
        summary = ["--summary", "json", "--summary-file", "/airflow/xcom/return.json"]
        super().__init__(arguments=[*arguments, *summary], do_xcom_push=True, **kwargs)

    def cleanup(self, pod, remote_pod, **kwargs) -> None:
        try:
            super().cleanup(pod, remote_pod, **kwargs)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            code = self._exit_code(remote_pod)
            if code in NOT_RETRIED:
                raise AirflowFailException(f"not retried: {NOT_RETRIED[code]}") from error
            raise

    def _exit_code(self, remote_pod) -> int | None:
        statuses = remote_pod.status.container_statuses or [] if remote_pod else []
        for status in statuses:
            if status.name == self.base_container_name and status.state and status.state.terminated:
                return status.state.terminated.exit_code
        return None
