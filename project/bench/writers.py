"""Writes a result: result.json, result.csv, report.md, plots/, and one archive of all of it.

with writers.kept(result, options.out):
    ...                                     # measure, and add to the result
"""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from project.bench import calibration, page, plots, sheet
from project.bench.results import Result
from project.bench.texts import file_name
from project.embedded.stack import ROOT

OUTPUTS = ROOT / "outputs" / "bench"


def write(result: Result, out: Path | None = None) -> Path:
    """Write everything into this folder, or into a new one below outputs/bench; return it.

    Pictures of an earlier run in the same folder are removed; its figures are put aside.
    """
    folder = folder_of(result, out)
    folder.mkdir(parents=True, exist_ok=True)
    put_aside(folder, result)
    for old in (folder / "plots").glob("*.png"):
        old.unlink()
    pictures = plots.draw(result, folder / "plots")
    files = {
        "result.json": json.dumps(result.told(), indent=1, ensure_ascii=False) + "\n",
        "result.csv": sheet.text(result),
        "report.md": page.text(result, pictures),
        "config.yaml": yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    kept = [*files, *(f"plots/{name}" for name, _ in pictures)]
    (folder / archive_name(result)).write_bytes(_archive(folder, kept, archive_name(result)))
    print(f"Written: {folder / 'report.md'}", flush=True)
    return folder


def put_aside(folder: Path, result: Result) -> None:
    """Keep another run's figures that stand in this folder as result-DATE.json, to be compared with."""
    file = folder / "result.json"
    try:
        created = str(json.loads(file.read_text(encoding="utf-8"))["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if created != result.created:
        older = file.rename(folder / f"result-{file_name(created[:19].replace(':', ''))}.json")
        print(f"The figures of before are kept: manage.py bench compare {older} {folder}", flush=True)


def folder_of(result: Result, out: Path | None = None) -> Path:
    moment = result.created[:19].replace(":", "")
    return out or OUTPUTS / f"{moment}-{file_name(result.name)}-{result.command}"


def archive_name(result: Result) -> str:
    return f"{file_name(result.name)}.tar.gz"


def _archive(folder: Path, names: list[str], archive: str) -> bytes:
    """Its files in one folder; nobody's name, account or path goes with them."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name in names:
            content = (folder / name).read_bytes()
            entry = tarfile.TarInfo(f"{archive.removesuffix('.tar.gz')}/{name}")
            entry.size, entry.mode = len(content), 0o644
            entry.mtime = int((folder / name).stat().st_mtime)
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


@contextmanager
def kept(result: Result, out: Path | None = None) -> Iterator[Path]:
    """Write the result when the block ends; what the machine itself can do is measured before and after.

    Of a block that fails or is broken off what it had measured by then is written, with a check that says so.
    """
    folder = folder_of(result, out)
    put_aside(folder, result)  # now: should this run fail, nobody takes the older figures for its
    before = calibration.take()
    try:
        yield folder
    except BaseException as error:  # Ctrl-C after half an hour as well
        if result.metrics:
            # Not its text, which may hold addresses.
            told = f"it ended with {type(error).__name__}; figures are those that were there by then"
            result.check("the run came to its end", False, told)
            result.calibration = before
            write(result, folder)
        raise
    result.calibration = calibration.joined(before, calibration.take())
    write(result, folder)
