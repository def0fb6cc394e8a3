"""Runs every benchmark one after the other; each writes its own page beside it.

`make bench-parts`, or `python -m docs.benchmarks encode clip` for some of them.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ARGUMENTS = {"lipsync": ["--write"]}  # judged without a page otherwise


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def main() -> int:
    wanted = sys.argv[1:] or names()
    if unknown := sorted(set(wanted) - set(names())):
        print(f"No such benchmark: {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    for name in wanted:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"docs.benchmarks.{name}", *ARGUMENTS.get(name, [])]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        page = FOLDER / f"{name}.md"
        if page.is_file():
            print(page.read_text(encoding="utf-8"), flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
