"""Ground rules of the test suite: its own home, no network beyond loopback, one Valkey a process."""

import os
import tempfile

# Before Django reads its settings: nothing of the developer's own stack is touched.
os.environ["PARLEY_HOME"] = tempfile.mkdtemp(prefix="parley-tests-")
os.environ.setdefault("SECRET_KEY", "tests-only-not-a-secret")
for name in ("REDIS_URL", "S3_ENDPOINT_URL", "SPEECH_URL", "PUBLIC_URL"):
    os.environ.pop(name, None)
# Ports where nobody listens: a test that needs a part asks for its fixture.
os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"
os.environ["S3_ENDPOINT_URL"] = "http://127.0.0.1:1"
os.environ["SPEECH_URL"] = "http://127.0.0.1:1"
