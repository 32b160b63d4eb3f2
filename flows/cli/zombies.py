"""Runs whose process is gone must not look alive, nor hold a place that others wait for.

A flow run sends a heartbeat every 30 s. A killed one (kill -9, a power cut) falls silent and would stay
RUNNING for ever; this automation of the server marks it Crashed, which frees its concurrency slot at once.
Even without it the slot is a lease that runs out after five minutes. A run that merely slept with its laptop
is marked Crashed too; it goes on, and its artifacts count, as the store and not Prefect is the truth.
"""

from __future__ import annotations

from typing import Any

from flows.cli.checkout import HEARTBEAT_S

SILENCE_S = 4 * HEARTBEAT_S

AUTOMATION: dict[str, Any] = {
    "name": "worldgen: killed runs are crashed",
    "description": f"A flow run without a sign of life for {SILENCE_S} s was killed.",
    "enabled": True,
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "for_each": ["prefect.resource.id"],
        "after": ["prefect.flow-run.heartbeat"],
        "expect": ["prefect.flow-run.*"],
        "threshold": 1,
        "within": SILENCE_S,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "name": "Crashed",
            "message": f"No sign of life for {SILENCE_S} s: the process was killed. Run it again; what was "
            "finished is kept.",
        }
    ],
}
