"""An operator that runs sink-connector: its summary becomes the XCom, and its exit code the state of the task.

| exit code | meaning                                          | task                              |
|-----------|--------------------------------------------------|-----------------------------------|
| 0         | done                                             | success                           |
| 1         | failed, for instance a broken connection         | failed, retried as `retries` says |
| 2         | configuration wrong                              | failed, not retried               |
| 3         | dead letters, and --fail-on-dead-letters         | failed, not retried               |
| 4         | stopped by the error policy                      | failed, not retried               |
| 5         | past its --deadline: a dependency is unreachable | failed, retried as `retries` says |

A retry is always safe: rows and positions are committed together, so it writes what is missing and nothing twice. After the exit
codes 2 to 4 it would only fail again, or hide the failure.
"""

from __future__ import annotations

import json
from functools import cached_property

from airflow.providers.standard.hooks.subprocess import SubprocessHook, SubprocessResult
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

NOT_RETRIED = {
    2: "the configuration is wrong",
    3: "records were rejected; `sink-connector dead-letters list` shows them",
    4: "the error policy stopped the run",
}


def summary_of(line: str):
    """The summary of a run, from the last line of its output; otherwise the line as it is."""
    try:
        return json.loads(line)
    except ValueError:
        return line


class _SubprocessHook(SubprocessHook):
    """Keeps the result of the command, which BashOperator does not pass on if it fails."""

    result: SubprocessResult | None = None

    def run_command(self, *args, **kwargs) -> SubprocessResult:
        self.result = super().run_command(*args, **kwargs)
        return self.result


class SinkRunOperator(BashOperator):
    """Runs `sink-connector run … --summary json`. The XCom is the summary, also if the run fails."""

    def __init__(self, **kwargs) -> None:
        super().__init__(output_processor=summary_of, **kwargs)

    @cached_property
    def subprocess_hook(self) -> _SubprocessHook:
        return _SubprocessHook()

    def execute(self, context):
        try:
            return super().execute(context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            result = self.subprocess_hook.result
            if result is None:
                raise
            context["ti"].xcom_push(key="return_value", value=summary_of(result.output))
            if result.exit_code in NOT_RETRIED:
                raise AirflowFailException(f"not retried: {NOT_RETRIED[result.exit_code]}") from error
            raise
