"""Customers of a running stack."""

from collections.abc import Mapping
from typing import Any

import httpx

from project.bench.stack import EmbeddedStack

SECONDS = 30.0
MAKE = """
from project.accounts import keys
from project.accounts.models import User
user, _ = User.objects.get_or_create(email={email!r}, defaults={{"name": "Customer"}})
user.set_password({password!r})
user.save()
print("KEY", keys.create(user, name="Test")[1])
"""
PASSWORD = "correct horse battery"


def client(stack: EmbeddedStack, key: str | None = None, **headers: str) -> httpx.Client:
    """A client that waits 30 seconds for an answer and no longer."""
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return httpx.Client(base_url=stack.base_url, headers=headers, timeout=SECONDS)


def customer(stack: EmbeddedStack, email: str) -> str:
    """Make a customer, who is not staff, and return a key of theirs with every scope they may have."""
    printed = stack.manage("shell", "-c", MAKE.format(email=email, password=PASSWORD))
    return next(line.split()[1] for line in printed.splitlines() if line.startswith("KEY "))


def refused(answer: httpx.Response, status: int, code: str, pointer: str | None = None) -> Mapping[str, Any]:
    """Check that an answer is a problem of this kind, and that it names the field to blame."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code), problem
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem
    return problem
