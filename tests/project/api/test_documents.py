import json
import time
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
from drf_spectacular.validation import validate_schema

from project.api import documents
from project.webhooks.events import EVENTS


@pytest.fixture(scope="module")
def described():
    return documents.as_dict()


def test_the_document_is_valid_openapi_3_1(described):
    assert described["openapi"].startswith("3.1")
    validate_schema(described)


def test_it_is_served_to_everybody_with_an_entity_tag(client):
    answer = client.get("/api/schema/")
    assert answer.status_code == 200
    assert json.loads(answer.content)["info"]["title"] == "Parley"
    again = client.get("/api/schema/", headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304


def test_readers_who_come_first_together_do_not_make_it_together(monkeypatch):
    making = []

    def make(*_, **__):
        making.append(True)
        alone = len(making) == 1
        time.sleep(0.05)
        making.pop()
        return {"alone": alone}

    monkeypatch.setattr(documents.SchemaGenerator, "get_schema", make)
    documents._made.cache_clear()
    try:
        with ThreadPoolExecutor(4) as readers:
            seen = list(readers.map(lambda _: documents.as_dict(), range(4)))
    finally:
        documents._made.cache_clear()
    assert seen == [{"alone": True}] * 4


def test_each_call_names_its_problems(described):
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            found = operation["responses"]
            assert {"401", "429", "default"} <= set(found) or {} in operation["security"], (path, method)
            if "{" in path:
                assert "404" in found, (path, method)
            assert "application/problem+json" in found["default"]["content"]


def test_every_problem_has_a_body_and_its_examples_fit(described):
    schema = described["components"]["schemas"]["Problem"]
    for methods in described["paths"].values():
        for operation in methods.values():
            for status, told in operation["responses"].items():
                if status[0] not in "45d":
                    continue
                examples = told["content"]["application/problem+json"].get("examples", {})
                for code, example in examples.items():
                    jsonschema.validate(example["value"], schema)
                    assert example["value"]["code"] == code


def test_a_call_names_the_problems_of_its_own(described):
    say = described["paths"]["/api/v1/sessions/{session_id}/say"]["post"]["responses"]
    assert set(say["409"]["content"]["application/problem+json"]["examples"]) == {"session_not_active"}
    assert set(say["504"]["content"]["application/problem+json"]["examples"]) == {"host_unreachable"}


def test_operation_ids_are_unique(described):
    ids = [
        operation["operationId"] for methods in described["paths"].values() for operation in methods.values()
    ]
    assert len(ids) == len(set(ids))


def test_every_event_is_described(described):
    assert set(described["webhooks"]) == set(EVENTS)


def test_a_real_problem_fits_its_schema(client, described):
    body = client.get("/api/v1/nothing").json()
    jsonschema.validate(body, described["components"]["schemas"]["Problem"])


def test_the_page_loads_scripts_from_here_alone(client):
    answer = client.get("/api/docs/")
    page = answer.content.decode()
    policy = {part.split()[0]: part.split()[1:] for part in answer["Content-Security-Policy"].split("; ")}
    assert policy["script-src"] == ["'self'"]
    assert "<script>" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_laxer_styles_are_for_that_page_alone(client):
    assert "unsafe-inline" in client.get("/api/docs/")["Content-Security-Policy"]
    assert "unsafe" not in client.get("/api/v1/me")["Content-Security-Policy"]
