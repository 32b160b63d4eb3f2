"""The code fingerprint: follows imports, ignores what a reader alone sees, names what changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.fingerprint import fingerprint, is_neutral
from worldgen_core.errors import ConfigError


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(
        tmp_path,
        {
            "pkg/__init__.py": '"""Doc."""\n',
            "pkg/main.py": "from pkg import side\nfrom .deep.low import f\nimport json\n\n"
            "def g(): return f() + side.x\n",
            "pkg/side.py": "x = 1\n",
            "pkg/deep/__init__.py": "",
            "pkg/deep/low.py": "def f():\n    import pkg.lazy\n    return pkg.lazy.y\n",
            "pkg/lazy.py": "y = 2\n",
            "pkg/settings.py": "z = 3\n",
            "pkg/unused.py": "u = 4\n",
        },
    )
    return tmp_path


def test_follows_absolute_relative_and_local_imports(root: Path) -> None:
    assert list(fingerprint(["pkg.main"], root=root)) == [
        "pkg/__init__.py",
        "pkg/deep/__init__.py",
        "pkg/deep/low.py",
        "pkg/lazy.py",
        "pkg/main.py",
        "pkg/side.py",
    ]


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("pkg/side.py", "# a comment\nx    =   1\n", False),
        ("pkg/side.py", '"""A docstring."""\n\nx = 1\n"""What x is."""\n', False),
        ("pkg/side.py", "x = 2\n", True),
        ("pkg/lazy.py", "y = 2 + 0\n", True),
        ("pkg/settings.py", "z = 4\n", False),
        ("pkg/unused.py", "u = 5\n", False),
        ("pkg/side.py", "if TYPE_CHECKING:\n    import pkg.unused\nx = 1\n", True),
    ],
)
def test_only_what_can_change_bytes_counts(root: Path, file: str, text: str, changes: bool) -> None:
    before = fingerprint(["pkg.main"], root=root)
    write(root, {"pkg/main.py": (root / "pkg/main.py").read_text() + "import pkg.settings\n"})
    before = fingerprint(["pkg.main"], root=root)
    write(root, {file: text})
    after = fingerprint(["pkg.main"], root=root)
    assert {name for name in before if before[name] != after[name]} == ({file} if changes else set())
    assert set(after) == set(before)


def test_missing_and_broken_modules_are_named(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"pkg\.nothing"):
        fingerprint(["pkg.nothing"], root=root)
    write(root, {"pkg/side.py": "x = (\n"})
    with pytest.raises(ConfigError, match=r"side\.py:1: not valid Python"):
        fingerprint(["pkg.main"], root=root)


def test_neutral_modules_are_listed_in_one_place() -> None:
    assert is_neutral("worldgen_core.progress")
    assert is_neutral("worldgen_core.training.loop_settings")
    assert not is_neutral("worldgen_core.seeds")


@pytest.mark.parametrize("name", ["evaluation.settings", "agents.settings"])
def test_settings_with_methods_count(name: str) -> None:
    assert not is_neutral(f"worldgen_core.{name}")
    assert f"worldgen_core/{name.replace('.', '/')}.py" in fingerprint([f"worldgen_core.{name}"])


SETTINGS = '''"""Settings."""

from __future__ import annotations

from pydantic import BaseModel, model_validator

from pkg.counting import count
from pkg.deep.more_settings import More
from pkg.types import Kind

SHARE = 3
OTHER = 4


class Settings(BaseModel):
    """All of it."""

    games: int = 12
    """How many."""
    kind: Kind = Kind()
    more: More = More()

    @property
    def slots(self) -> int:
        """Slots of a player."""
        return _at_least_one(count(self.games) // SHARE)

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.games > 100:
            raise ValueError("too many")
        return self


def _at_least_one(value: int) -> int:
    return max(value, 1)


def smoke() -> Settings:
    return Settings(games=3)
'''


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("games: int = 12", "games: int = 13", False),
        ("games: int = 12", "games: int = 12\n    waits: bool = False", False),
        ('"""How many."""', '"""Number of games."""', False),
        ('"""Slots of a player."""', '"""Another docstring."""', False),
        ("def slots(self) -> int:", "def slots(self) -> float:", False),
        ("Settings(games=3)", "Settings(games=5)", False),
        ("OTHER = 4", "OTHER = 5", False),
        ("SHARE = 3", "SHARE = 4", True),
        ("// SHARE", "// (SHARE + 1)", True),
        ("max(value, 1)", "max(value, 2)", True),
        ("self.games > 100", "self.games > 50", True),
        ("    @property\n", "    @cached_property\n", True),
    ],
)
def test_of_settings_only_methods_and_what_they_name_count(
    root: Path, old: str, new: str, changes: bool
) -> None:
    write(
        root,
        {
            "pkg/main.py": "from pkg.settings import Settings\n",
            "pkg/settings.py": SETTINGS,
            "pkg/counting.py": "def count(n): return n\n",
            "pkg/types.py": "class Kind: pass\n",
            "pkg/deep/more_settings.py": "class More:\n    def f(self): return 1\n",
        },
    )
    before = fingerprint(["pkg.main"], root=root)
    assert list(before) == [
        "pkg/__init__.py",
        "pkg/counting.py",
        "pkg/deep/__init__.py",
        "pkg/deep/more_settings.py",
        "pkg/main.py",
        "pkg/settings.py",
    ]
    assert not is_neutral("pkg.settings", root=root)
    assert SETTINGS.count(old) == 1
    write(root, {"pkg/settings.py": SETTINGS.replace(old, new) + "\n"})
    after = fingerprint(["pkg.main"], root=root)
    assert {name for name in before if before[name] != after[name]} == (
        {"pkg/settings.py"} if changes else set()
    )
