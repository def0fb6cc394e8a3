"""The text of Markdown: headings as a path, links and emphasis as their words, tables as sentences."""

import re
from collections.abc import Iterator

from sessions.knowledge.chunks import Block

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_RULE = re.compile(r"^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_TABLE_LINE = re.compile(r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_QUOTE = re.compile(r"^ {0,3}(?:> ?)+")
_ITEM = re.compile(r"^[ \t]*(?:[-*+]|(\d{1,9}[.)]))[ \t]+(?:\[[ xX]\][ \t]+)?")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]{1,200}\]:[ \t]*\S+.*$")
_FRONT = re.compile(r"\A---\n.{0,20000}?\n(?:---|\.\.\.)\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.{0,20000}?-->", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,500}>")
_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,500})\](?:\([^()\n]{0,1000}(?:\([^()\n]{0,200}\))?[^()\n]{0,200}\)|\[[^\]\n]{0,200}\])"
)
_AUTOLINK = re.compile(r"<(https?://[^<>\s]{1,500}|[^<>\s@]{1,100}@[^<>\s]{1,200})>")
_EMPHASIS = re.compile(
    r"(?<![\w*])(\*{1,3}|~~)(?=\S)|(?<=\S)(\*{1,3}|~~)(?![\w*])|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)|`+"
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def blocks(text: str) -> Iterator[Block]:
    """Blocks under the path of their headings. Code stays as it is written."""
    path: list[tuple[int, str]] = []
    for kind, told in _parsed(_COMMENT.sub("", _FRONT.sub("", text)).split("\n")):
        if isinstance(kind, int):
            path = [(level, name) for level, name in path if level < kind]
            if told:
                path.append((kind, told))
        elif told.strip():
            yield Block(told, tuple(name for _, name in path))


def plain(line: str) -> str:
    """A line without its marks.

    >>> plain("See **the** [price list](http://x.test/a_(b)) and `make up`")
    'See the price list and make up'
    """
    line = _AUTOLINK.sub(r"\1", line)
    line = _LINK.sub(r"\1", _LINK.sub(r"\1", line))  # twice: a picture inside a link
    line = _EMPHASIS.sub("", _TAG.sub("", line))
    return " ".join(_ESCAPE.sub(r"\1", line).split())


def _parsed(lines: list[str]) -> Iterator[tuple[int | None, str]]:
    """(level, heading) or (None, block)."""
    open_lines: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.match(line):
            yield None, _paragraph(open_lines)
            at, code = _code(lines, at, fence[1])
            yield None, code
            continue
        line = _QUOTE.sub("", line)
        table = at + 1 < len(lines) and "|" in line and _TABLE_LINE.match(_QUOTE.sub("", lines[at + 1]))
        if table and not open_lines:
            at, rows = _table(lines, at)
            yield None, rows
            continue
        if heading := _HEADING.match(line):
            yield None, _paragraph(open_lines)
            yield len(heading[1]), plain(heading[2] or "")
        elif (under := _UNDERLINE.match(line)) and len(open_lines) == 1 and not _ITEM.match(open_lines[0]):
            yield 1 if under[1][0] == "=" else 2, plain(open_lines.pop())
        elif not line.strip() or _RULE.match(line):
            yield None, _paragraph(open_lines)
        elif not _DEFINITION.match(line):
            open_lines.append(line)
        at += 1
    yield None, _paragraph(open_lines)


def _paragraph(lines: list[str]) -> str:
    """Take the open lines: the lines of a paragraph run on, items stand by themselves."""
    told: list[str] = []
    for line in lines:
        item = _ITEM.match(line)
        words = plain(line[item.end() :] if item else line)
        if item:
            told.append(f"{item[1]} {words}" if item[1] else f"- {words}")
        elif told:
            told[-1] = f"{told[-1]} {words}"
        else:
            told.append(words)
    lines.clear()
    return "\n".join(told)


def _code(lines: list[str], at: int, fence: str) -> tuple[int, str]:
    end = at + 1
    while end < len(lines) and not lines[end].strip().startswith(fence):
        end += 1
    return end + 1, "\n".join(lines[at + 1 : end])


def _table(lines: list[str], at: int) -> tuple[int, str]:
    """Each row with the names of its columns, so that it says something by itself."""
    names = _cells(lines[at])
    told, at = [], at + 2
    while at < len(lines) and "|" in lines[at] and lines[at].strip():
        pairs = list(zip(names, _cells(lines[at]), strict=False))
        told.append("; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell))
        at += 1
    return at, "\n".join(told)


def _cells(line: str) -> list[str]:
    bare = _QUOTE.sub("", line).strip().removeprefix("|").removesuffix("|")
    return [plain(cell) for cell in re.split(r"(?<!\\)\|", bare)]
