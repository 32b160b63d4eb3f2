"""A recipe of three tiny stages through the project's own decorator: what staleness and kill tests run.

`TOY_CODE` names the folder that holds `toy_core`; tests work on a copy and change its files.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from prefect import flow

from storage.location import open_store
from storage.manifest import ArtifactRef
from tasks.stage import Stage, Workspace, stage
from tasks.steps import Planner, Runner, Steps, earlier_refs

RECIPE = "build-toy"
CODE = Path(os.environ.get("TOY_CODE", Path(__file__).parent / "core"))


def fresh(name: str) -> Any:
    """Import a module of the toy's core as it is on disk now."""
    if str(CODE) not in sys.path:
        sys.path.insert(0, str(CODE))
    for loaded in [module for module in sys.modules if module.partition(".")[0] == "toy_core"]:
        del sys.modules[loaded]
    importlib.invalidate_caches()
    return importlib.import_module(name)


def body_of(name: str, function: str, *inputs: str) -> Any:
    def body(settings: Any, work: Workspace) -> Any:
        call = getattr(fresh(f"toy_core.{name}"), function)
        extra = {} if name == "report" else {"resume": work.resume, "progress": work.progress}
        return call(settings, *(work.inputs[key] for key in inputs), out=work.out, **extra)

    body.__name__ = name
    return body


def make_stages() -> dict[str, Stage[Any]]:
    def make(name: str, function: str, packages: tuple[str, ...], *inputs: str) -> Stage[Any]:
        decorate = stage(section=name, core=(f"toy_core.{name}",), packages=packages, code_root=CODE)
        return decorate(body_of(name, function, *inputs))

    return {
        "numbers": make("numbers", "make_numbers", ("numpy",)),
        "total": make("total", "add_up", (), "numbers"),
        "report": make("report", "write_report", ("pydantic",), "total"),
    }


STAGES = make_stages()


def toy_recipe(settings: dict[str, dict[str, Any]], call: Steps) -> ArtifactRef:
    classes = fresh("toy_core.settings")
    numbers = call(STAGES["numbers"], classes.NumbersSettings(**settings.get("numbers", {})))
    total = call(STAGES["total"], classes.TotalSettings(**settings.get("total", {})), numbers=numbers)
    return call(STAGES["report"], classes.ReportSettings(**settings.get("report", {})), total=total)


@flow(name=RECIPE)
def build_toy(settings: dict[str, dict[str, Any]] | None = None, force: list[str] | None = None) -> list[Any]:
    runner = Runner(open_store(), recipe=RECIPE, variant="toy", forced=force or [])
    toy_recipe(settings or {}, runner)
    return [(line.stage, line.state, line.manifest.digest if line.manifest else "") for line in runner.done]


def plan_toy(settings: dict[str, dict[str, Any]] | None = None) -> list[Any]:
    store = open_store()
    planner = Planner(store, earlier_refs(store, RECIPE, "toy"))
    toy_recipe(settings or {}, planner)
    return planner.stages


if __name__ == "__main__":
    import json

    print(json.dumps(build_toy(json.loads(sys.argv[1]) if len(sys.argv) > 1 else None)))
