"""The text of a PDF, page by page, read by a process that cannot take this one with it."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sessions.knowledge.chunks import Block
from sessions.knowledge.errors import unreadable
from sessions.knowledge.plain import MAX_CHARACTERS, cleaned

SECONDS = 120  # of processor time; as much again on the clock of a busy machine
MEMORY_BYTES = 1024 * 1024 * 1024
LOOK_SECONDS = 0.1
# A page of a scan has a stamp or a page number at most.
LEAST_CHARACTERS_A_PAGE = 12
PAGE_NUMBER = 24  # characters that a line with a page number has at most

_CHILD = Path(__file__).with_name("pdf_child.py")
_DIGITS = re.compile(r"\d+")
_ENDS = (".", "!", "?", ":", "。", "！", "？", "…")


def pages(
    data: bytes, *, most: int, seconds: int = SECONDS, check: Callable[[], None] = lambda: None
) -> list[str]:
    """Return the text of every page. Raises `Unreadable`, and what `check` raises.

    `check` is called a few times a second while it is read; when it raises, the reading ends.
    """
    with tempfile.TemporaryDirectory(prefix="parley-pdf-") as folder:
        path, out = Path(folder) / "document.pdf", Path(folder) / "pages.jsonl"
        path.write_bytes(data)
        limits = [str(n) for n in (seconds, MEMORY_BYTES, most, MAX_CHARACTERS)]
        with out.open("wb") as written:
            child = subprocess.Popen(
                [sys.executable, "-I", str(_CHILD), str(path), *limits],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.DEVNULL,
                env={"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
            )
            _wait(child, 2 * seconds, check)
        return _read(out)


def blocks(texts: Sequence[str]) -> Iterator[Block]:
    """The paragraphs of pages, without what stands on top or at the bottom of most of them."""
    lined = [[" ".join(line.split()) for line in text.split("\n")] for text in texts]
    running = _running(lined)
    for number, lines in enumerate(lined, 1):
        kept = [
            line
            for place, line in enumerate(lines)
            if not (_same(line) in running and (place < 2 or place >= len(lines) - 2))
        ]
        for paragraph in _paragraphs(kept):
            yield Block(paragraph, page=number)


def _wait(child: "subprocess.Popen[bytes]", seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    try:
        while child.poll() is None:
            if time.monotonic() > until:
                raise unreadable("document_too_slow")
            check()
            time.sleep(LOOK_SECONDS)
    finally:
        child.kill()
        child.wait()


def _read(out: Path) -> list[str]:
    """Read what the child wrote. Killed by its limits, it did not come to an end."""
    texts: list[str] = []
    end = "document_too_slow"
    with out.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:
                break
            end = told.get("end", end)
            if "page" in told:
                texts.append(cleaned(told["text"]))
    if end != "ok":
        raise unreadable(end)
    if sum(len(text.strip()) for text in texts) < LEAST_CHARACTERS_A_PAGE * min(len(texts), 20):
        raise unreadable("document_without_text")
    return texts


def _running(pages: Sequence[Sequence[str]]) -> set[str]:
    """Headers and footers: the same on at least half of the pages, but for numbers."""
    if len(pages) < 4:
        return set()
    seen = Counter(same for lines in pages for same in {_same(line) for line in [*lines[:2], *lines[-2:]]})
    return {same for same, n in seen.items() if same and n >= max(3, len(pages) // 2)}


def _same(line: str) -> str:
    """A line without the numbers that count pages; a longer line is prose, where numbers matter."""
    return _DIGITS.sub("#", line) if len(line) <= PAGE_NUMBER else line


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Join lines; a paragraph ends at an empty line, or where a sentence ends before the margin."""
    width = max((len(line) for line in lines), default=0)
    told = ""
    for line in lines:
        if line:
            told = _joined(told, line)
        if told and (not line or (line.endswith(_ENDS) and len(line) < 0.8 * width)):
            yield told
            told = ""
    if told:
        yield told


def _joined(told: str, line: str) -> str:
    if not told:
        return line
    if told.endswith("-") and told[-2:-1].isalpha() and line[:1].islower():
        return told[:-1] + line
    return f"{told} {line}" if told[-1].isascii() or line[0].isascii() else told + line
