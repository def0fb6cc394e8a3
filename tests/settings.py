"""The service's settings, for tests: a home of their own, and no part that a developer runs.

pytest-django reads settings before any conftest.py, so the environment is made here.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_home = tempfile.mkdtemp(prefix="parley-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["PARLEY_HOME"] = _home
(Path(_home) / "static").mkdir()  # WhiteNoise warns where it is missing
os.environ.setdefault("SECRET_KEY", "tests-only-not-a-secret")
os.environ.pop("PUBLIC_URL", None)
# Ports where nobody listens: a test that needs a part asks for its fixture.
os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"
os.environ["S3_ENDPOINT_URL"] = "http://127.0.0.1:1"
os.environ["SPEECH_URL"] = "http://127.0.0.1:1"

from project.settings import *  # noqa: E402, F403 - only now is the environment ready

# Argon2 is slow on purpose; hundreds of tests make users.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
