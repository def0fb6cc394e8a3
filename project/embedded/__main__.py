"""`python -m project.embedded up`, `run -- COMMAND`, `demo`."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from project.embedded import service
from project.embedded.errors import StackError
from project.embedded.process import die_with_parent
from project.embedded.stack import NAMES, ROOT

DEMO_AVATAR = "lena"


def main() -> int:
    options = _options()
    home = Path(os.environ.get("PARLEY_HOME") or ROOT / ".parley")
    if options.with_parent:
        die_with_parent()
    try:
        if options.action == "demo":
            command = [sys.executable, "-m", "project.embedded.demo", str(options.out.absolute())]
            return asyncio.run(service.run(home / "demo", _own_addresses(), command=command))
        return asyncio.run(
            service.run(home, dict(os.environ), wanted=tuple(options.parts), command=options.command)
        )
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _own_addresses() -> dict[str, str]:
    """The demo runs beside whatever else runs here: free ports on loopback, and its own address."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PUBLIC_URL", "ALLOWED_HOSTS")}
    return kept | {"HOST": "127.0.0.1", "PORT": "0", "TLS": "0", "BUILTIN_AVATARS": _demo_avatar()}


def _demo_avatar() -> str:
    """The only built-in avatar that the demo prepares: the rest of the catalogue would take its cores."""
    if os.environ.get("IMAGE", "").strip():
        return "none"
    wanted = os.environ.get("AVATAR", "").strip().lower() or DEMO_AVATAR
    return wanted if (ROOT / "generation" / "avatars" / "builtin" / wanted).is_dir() else "all"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m project.embedded", description="The self-contained stack"
    )
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process is gone")
    actions = parser.add_subparsers(dest="action", required=True)
    up = actions.add_parser("up", help="run the service until Ctrl-C")
    run = actions.add_parser("run", help="run a command beside the service, then stop both")
    for action in (up, run):
        action.add_argument("--parts", type=_names, default=list(NAMES), help=f"of {','.join(NAMES)}")
    run.add_argument("command", nargs="+", help="after `--`")
    up.set_defaults(command=None)
    render = actions.add_parser("demo", help="render a script to a video file and stop")
    render.add_argument("--out", type=Path, default=Path("demo.mp4"))
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := sorted(set(names) - set(NAMES)):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
