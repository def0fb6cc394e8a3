"""Ground rules of the test suite; its settings are in tests/settings.py."""
