"""Whatever may come in from outside, made by the thousand: see docs/security-testing.md."""
