"""Where units of a stage run side by side: threads here, Dask workers here, or a Dask cluster elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from worldgen_core.errors import ConfigError


def task_runner_of(workers: str, num_workers: int) -> Callable[[], TaskRunner[Any]]:
    """What makes the task runner: `threads`, `dask`, or the address of a Dask scheduler (tcp://host:8786).

    Workers of a cluster on other machines need the project installed, the same WORLDGEN_STORE (a URL) and
    the footage under the same path.
    Raises: ConfigError if prefect-dask is not installed.
    """
    if workers == "threads":
        return partial(ThreadPoolTaskRunner[Any], max_workers=num_workers)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ConfigError(
            f"setting slices.workers {workers!r}",
            expected="the library prefect-dask",
            found="not installed",
            next_step="pip install -c constraints.txt -e '.[dask]'",
        ) from error
    if workers == "dask":
        cluster = {"n_workers": num_workers, "threads_per_worker": 1, "dashboard_address": None}
        return partial(DaskTaskRunner, cluster_kwargs=cluster)
    return partial(DaskTaskRunner, address=workers)
