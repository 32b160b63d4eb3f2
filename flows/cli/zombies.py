"""Runs whose process is gone must not look alive, nor hold a place that others wait for.

A flow run sends a heartbeat every 30 s. A killed one (kill -9, a power cut) falls silent and would stay
RUNNING for ever. Three things end that: an automation of the server marks it Crashed after two minutes,
which frees its concurrency slot at once; `worldgen up` does the same for what died while no server ran; and
even without either the slot is a lease that runs out after five minutes. A run that merely slept with its
laptop is marked Crashed too; it goes on, and its artifacts count, as the store and not Prefect is the
truth.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from flows.cli.checkout import HEARTBEAT_S
from flows.cli.server_api import ServerApi

SILENCE_S = 4 * HEARTBEAT_S

_UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]
_ADVICE = "Run it again: what was finished is kept."
_AUTOMATION: dict[str, Any] = {
    "name": "worldgen: killed runs are crashed",
    "enabled": True,
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "for_each": ["prefect.resource.id"],
        "after": ["prefect.flow-run.Running", "prefect.flow-run.Retrying", "prefect.flow-run.heartbeat"],
        "expect": ["prefect.flow-run.*"],
        "threshold": 1,
        "within": SILENCE_S,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "name": "Crashed",
            "message": f"No sign of life for {SILENCE_S} s: the process was killed. {_ADVICE}",
        }
    ],
}


def ensure_automation(api: ServerApi) -> None:
    """Create the automation, or bring it up to date.

    An unchanged one is left alone, as an update makes the server forget which runs it is watching; so the
    description names the definition it was made from.
    """
    digest = hashlib.sha256(json.dumps(_AUTOMATION, sort_keys=True).encode()).hexdigest()[:8]
    wanted = {**_AUTOMATION, "description": f"Flow runs that send no heartbeat were killed ({digest})."}
    found = api.post("/automations/filter", {"automations": {"name": {"any_": [wanted["name"]]}}})
    if not found:
        api.post("/automations/", wanted)
    elif found[0]["description"] != wanted["description"]:
        api.put(f"/automations/{found[0]['id']}", wanted)


def find_unfinished(api: ServerApi, *, work_pool: str | None = None) -> list[dict[str, Any]]:
    """Return the flow runs that are under way or say so; with `work_pool`, those that its worker carries."""
    query: dict[str, Any] = {"flow_runs": {"state": {"type": {"any_": _UNFINISHED}}}}
    if work_pool is not None:
        query["work_pools"] = {"name": {"any_": [work_pool]}}
    return api.post("/flow_runs/filter", query)


def crash_silent_runs(api: ServerApi) -> list[str]:
    """Mark each unfinished run Crashed that gave no sign of life for two minutes; return their names."""
    silent = [
        run
        for run in find_unfinished(api)
        if (datetime.now(UTC) - _last_sign(api, run)).total_seconds() > SILENCE_S
    ]
    for run in silent:
        crash(api, run, "it was killed while no server ran")
    return [run["name"] for run in silent]


def crash(api: ServerApi, run: dict[str, Any], reason: str) -> None:
    """Mark a run Crashed; one that has finished in the meantime stays as it is."""
    state = {"type": "CRASHED", "name": "Crashed", "message": f"Ended: {reason}. {_ADVICE}"}
    api.post(f"/flow_runs/{run['id']}/set_state", {"state": state})


def _last_sign(api: ServerApi, run: dict[str, Any]) -> datetime:
    beats = api.post(
        "/events/filter",
        {
            "filter": {
                "event": {"name": ["prefect.flow-run.heartbeat"]},
                "resource": {"id": [f"prefect.flow-run.{run['id']}"]},
                "order": "DESC",
            },
            "limit": 1,
        },
    )["events"]
    times = [run["state"]["timestamp"], *(beat["occurred"] for beat in beats)]
    return max(datetime.fromisoformat(time) for time in times)
