"""The operations page names every setting, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()


def _documented(section: str) -> set[str]:
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    settings = (ROOT / "project/settings.py").read_text()
    read = set(re.findall(r"env_(?:str|key|int|bool|list|range|share|pairs)\(\s*\"([A-Z0-9_]+)\"", settings))
    section = PAGE.partition("## Settings")[2].partition("Only the supervisor")[0]
    assert _documented(section) == read


def test_what_only_the_supervisor_reads_is_documented() -> None:
    source = "".join((ROOT / f"project/embedded/{name}.py").read_text() for name in ("environment", "models"))
    read = set(re.findall(r"_(?:flag|number|folder|list)\([\w.]+, \"([A-Z0-9_]+)\"", source)) - {"PORT"}
    assert _documented(PAGE.partition("Only the supervisor")[2]) == read
