"""REST: requests made from the API's own document, good and bad, by every kind of caller.

The document's own checks apply (no 5xx; media type, status, body and headers as described), and two of ours:
every refusal is a problem, and every answer comes in time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from tests.bad_input.findings import Finding, Findings

PART = "rest"
PHASES = ("examples", "coverage", "fuzzing", "stateful")
PROBLEM = "application/problem+json"
TIMEOUT_SECONDS = 30
SLOW_SECONDS = 20.0
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ignored_auth",
    "refusals_are_problems",
)
# What the general checks take for a fault, by path: a key that is deleted is revoked, and shown as that;
# a stream of events is text to its readers, and no row of objects.
BY_DESIGN = {
    "/api/v1/api-keys/{key_id}": "use_after_free",
    "/api/v1/clips/{clip_id}/events": "response_schema_conformance",
}


@schemathesis.check
def refusals_are_problems(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Every answer of 400 and above says what is wrong in the one form that clients know."""
    if response.status_code < 400:
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind == PROBLEM, f"{response.status_code} as {kind or 'nothing'}"
    if case.method.upper() == "HEAD":
        return
    problem = response.json()
    assert problem["status"] == response.status_code, "the problem tells another status"
    assert problem["code"], "the problem has no code"
    assert problem["title"], "the problem has no title"
    for error in problem.get("errors", []):
        assert error["pointer"].startswith("/") or error["pointer"] == "", "a pointer that points nowhere"


@dataclass(frozen=True)
class Plan:
    """How much is tried. `phases`: examples, coverage (bounds of every field), fuzzing, stateful.

    Without `seconds` every phase runs once, the same for a seed; with it, until the time is over.
    """

    seed: int
    phases: Sequence[str] = ("coverage", "fuzzing", "stateful")
    examples: int = 20
    seconds: int | None = None


def run(
    base_url: str, findings: Findings, plan: Plan, key: str | None, spare: frozenset[str] = frozenset()
) -> None:
    """Try every operation.

    `key` is the caller's, or None for a stranger; ids in `spare` (the caller's own key, the one avatar) are
    left alone by whatever changes things.
    """
    schema = schemathesis.openapi.from_url(f"{base_url}/api/schema/", config=_config(base_url, plan, key))

    @schema.hook
    def filter_case(context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
        changes = case.method.upper() not in ("GET", "HEAD", "OPTIONS")
        return not (changes and spare & set(map(str, (case.path_parameters or {}).values())))

    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _collect(event, findings)
        elif isinstance(event, events.NonFatalError):
            what = f"the runner failed: {event.info.title}: {event.info.message}"
            findings.add(Finding(PART, event.label, what))
        elif isinstance(event, events.FatalError):
            raise event.exception


def _config(base_url: str, plan: Plan, key: str | None) -> SchemathesisConfig:
    checks: dict[str, Any] = {"enabled": False, "max_response_time": SLOW_SECONDS}
    checks |= {name: {"enabled": True} for name in CHECKS}
    options: dict[str, Any] = {
        "seed": plan.seed,
        "base-url": base_url,
        "headers": {} if key is None else {"Authorization": f"Bearer {key}"},
        "request-timeout": TIMEOUT_SECONDS,
        "continue-on-failure": True,
        "max-redirects": 0,
        "phases": {name: {"enabled": name in plan.phases} for name in PHASES},
        "checks": checks,
        "generation": {"max-examples": plan.examples},
        # What filter_case leaves alone is much of what is made for the operations that take one of our ids.
        "suppress-health-check": ["filter_too_much"],
        "operations": [
            {"include-path": path, "checks": {check: {"enabled": False}}} for path, check in BY_DESIGN.items()
        ],
    }
    if plan.seconds is not None:
        options["max-time"] = plan.seconds
    return SchemathesisConfig.from_dict(options)


def _collect(event: events.ScenarioFinished, findings: Findings) -> None:
    recorder = event.recorder
    findings.count(PART, len(recorder.interactions))
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status == Status.SUCCESS or check.failure_info is None:
                continue
            failure = check.failure_info.failure
            shown: Mapping[str, Any] = {
                "curl": check.failure_info.code_sample,
                "answer": _answer(recorder.find_response(case_id=case_id)),
            }
            findings.add(Finding(PART, recorder.label, f"{failure.title}: {failure.message}"[:600], shown))


def _answer(response: Any) -> str:
    if response is None:
        return "none"
    return f"{response.status_code} {response.content[:2000].decode(errors='replace')}"
