"""A program that answers like nvidia-smi, from a file that a test changes while it runs.

    gpu = FakeGpu(tmp_path)
    gpu.tell(whole=512, processes=[(1234, "310")])
    GpuWatch(gpu.program)

Its lines are those of `--format=csv,noheader,nounits`: a figure that the driver does not have is "[N/A]".
"""

import json
import sys
from pathlib import Path

SCRIPT = """#!{python}
import json, pathlib, sys
told = json.loads(pathlib.Path({state!r}).read_text())
asked = " ".join(sys.argv[1:])
if told["broken"]:
    print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    sys.exit(9)
assert "--format=csv,noheader,nounits" in asked, asked
if "--query-gpu=name,driver_version,memory.total" in asked:
    print("NVIDIA GeForce RTX 3050 Laptop GPU, 581.57, 4096")
elif "--query-gpu=memory.used" in asked:
    print(told["whole"])
elif "--query-compute-apps=pid,used_memory" in asked:
    for pid, used in told["processes"]:
        print(f"{{pid}}, {{used}}")
else:
    sys.exit(2)
"""


class FakeGpu:
    def __init__(self, folder: Path) -> None:
        self._state = folder / "gpu.json"
        script = folder / "nvidia-smi"
        script.write_text(SCRIPT.format(python=sys.executable, state=str(self._state)))
        script.chmod(0o755)
        self.program = str(script)
        self.tell()

    def tell(
        self, *, whole: float | str = 0, processes: list[tuple[int, str]] | None = None, broken: bool = False
    ) -> None:
        state = {"whole": whole, "processes": processes or [], "broken": broken}
        self._state.write_text(json.dumps(state))
