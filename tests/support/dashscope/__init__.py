"""DashScope as its documents describe it: three protocols, strict about what it takes.

Recognition (Paraformer), CosyVoice and Sambert share the task protocol at `/api-ws/v1/inference`; Qwen
has a session of events at `/api-ws/v1/realtime`; voices are enrolled over REST; chat and embeddings
speak OpenAI's protocol. It refuses what the real one refuses: a wrong order, a task id that was used,
unknown models, voices and parameters, text that is too long, markup where a voice takes none, a clone
with another model than its own.

    python -m tests.support.dashscope --port 8710

Known misbehaviours, one per task: `silent`, `drop`, `garbage`, `empty`, `failed CODE` before the first
sound; `stall`, `cut`, `close`, `error`, `late CODE`, `unknown` after it; `endless` after the last; `odd`
and `slow-chunks` throughout; `other-rate` is for a new session of Qwen. A status such as `429` refuses
the next upgrade.
"""

from tests.support.dashscope.server import DashScope, dashscope
from tests.support.dashscope.state import KEY, Asked, Settings, State

__all__ = ["KEY", "Asked", "DashScope", "Settings", "State", "dashscope"]
