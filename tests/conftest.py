"""Ground rules of the test suite; its settings are in tests/settings.py."""

import signal


def pytest_configure() -> None:
    """Let what the tests start hear Ctrl-C: a shell that runs us in the background has us ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
