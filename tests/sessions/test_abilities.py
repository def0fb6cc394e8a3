import pytest

from project.api import addresses
from project.errors import InvalidInput
from sessions import abilities

URL = "https://93.184.216.34/tools/order"
PARAMETERS = {
    "type": "object",
    "properties": {"number": {"type": "string", "pattern": "^[0-9]+$"}, "$ref": {"type": "integer"}},
    "required": ["number"],
}


def webhook(**fields):
    return {"type": "webhook", "name": "order", "description": "Where an order is", "url": URL} | fields


def nested(levels):
    schema = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return {"type": "object", "properties": {"x": schema}}


def test_tools_are_kept_whole():
    kept = abilities.tools(
        [
            {"type": "end_call"},
            {"type": "handover", "say": " I fetch somebody. ", "end": True},
            webhook(parameters=PARAMETERS, filler="I am looking."),
        ]
    )
    assert kept == [
        {"type": "end_call", "say": ""},
        {"type": "handover", "say": "I fetch somebody.", "end": True},
        webhook(parameters=PARAMETERS, filler="I am looking."),
    ]
    assert abilities.tools([webhook()])[0]["parameters"] == abilities.EMPTY_SCHEMA


@pytest.mark.parametrize(
    ("tools", "code", "pointer"),
    [
        ("no list", "not_a_list", "/tools"),
        ([{"type": "end_call"}] * 11, "max_length", "/tools"),
        ([{"type": "reboot"}], "tool_unknown", "/tools/0/type"),
        (["end_call"], "tool_unknown", "/tools/0/type"),
        ([{"type": ["end_call"]}], "tool_unknown", "/tools/0/type"),
        ([{"type": "end_call"}, {"type": "end_call"}], "tool_twice", "/tools/1"),
        ([webhook(), webhook()], "tool_twice", "/tools/1"),
        ([{"type": "end_call", "url": URL}], "unknown_field", "/tools/0/url"),
        ([{"type": "end_call", "say": 5}], "invalid", "/tools/0/say"),
        ([{"type": "handover", "end": "yes"}], "invalid", "/tools/0/end"),
        ([webhook(name="two words")], "invalid_tool_name", "/tools/0/name"),
        ([webhook(name="end_call")], "invalid_tool_name", "/tools/0/name"),
        ([webhook(description="")], "required", "/tools/0/description"),
        ([webhook(url="ftp://shop.example.com/x")], "invalid_url", "/tools/0/url"),
        ([webhook(url="https://me:secret@93.184.216.34/")], "invalid_url", "/tools/0/url"),
        ([webhook(parameters=[])], "invalid_schema", "/tools/0/parameters"),
        ([webhook(parameters={"type": "string"})], "invalid_schema", "/tools/0/parameters"),
        (
            [webhook(parameters={"type": "object", "properties": {"a": {"type": "nonsense"}}})],
            "invalid_schema",
            "/tools/0/parameters/properties/a/type",
        ),
        (
            [webhook(parameters={"type": "object", "properties": {"a": {"$ref": "http://10.0.0.1/"}}})],
            "invalid_schema",
            "/tools/0/parameters",
        ),
        ([webhook(parameters=nested(20))], "schema_too_large", "/tools/0/parameters"),
        (
            [webhook(parameters={"type": "object", "description": "x" * 9000})],
            "schema_too_large",
            "/tools/0/parameters",
        ),
    ],
)
def test_what_is_wrong_with_tools_is_pointed_at(tools, code, pointer):
    with pytest.raises(InvalidInput) as caught:
        abilities.tools(tools)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost:8000/api",
        "https://10.1.2.3/x",
        "https://192.168.1.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        "http://[::ffff:10.0.0.1]/x",
        "http://100.64.0.1/x",
    ],
)
def test_private_addresses_are_refused(url, settings):
    settings.EGRESS_ALLOWED_NETWORKS = []
    with pytest.raises(InvalidInput) as caught:
        abilities.tools([webhook(url=url)])
    assert (caught.value.code, caught.value.pointer) == ("address_not_allowed", "/tools/0/url")


def test_a_name_that_leads_inside_is_refused(monkeypatch, settings):
    settings.EGRESS_ALLOWED_NETWORKS = []
    monkeypatch.setattr(addresses, "resolve", lambda host, port: ["93.184.216.34", "10.0.0.5"])
    with pytest.raises(InvalidInput) as caught:
        abilities.tools([webhook(url="https://inside.example.com/x")])
    assert caught.value.code == "address_not_allowed"


def test_topics_are_kept_whole():
    told = [{"name": "Money", "phrases": ["invest  in", "invest in", "株"], "answer": "No.", "action": "end"}]
    assert abilities.topics(told) == [
        {"name": "Money", "phrases": ["invest in", "株"], "answer": "No.", "action": "end"}
    ]
    assert abilities.topics([{"name": "Money"}]) == [
        {"name": "Money", "phrases": [], "answer": "", "action": "refuse"}
    ]


@pytest.mark.parametrize(
    ("topics", "code", "pointer"),
    [
        ({}, "not_a_list", "/topics"),
        (["Money"], "invalid", "/topics/0"),
        ([{"phrases": ["a"]}], "required", "/topics/0/name"),
        ([{"name": "Money", "action": "shout"}], "invalid_choice", "/topics/0/action"),
        ([{"name": "Money", "phrases": "all"}], "not_a_list", "/topics/0/phrases"),
        ([{"name": "Money", "phrases": ["ok", "?!"]}], "invalid_phrase", "/topics/0/phrases/1"),
        ([{"name": "Money", "phrases": [7]}], "invalid_phrase", "/topics/0/phrases/0"),
        ([{"name": "Money", "phrases": ["x" * 81]}], "invalid_phrase", "/topics/0/phrases/0"),
        ([{"name": "Money", "regex": ".*"}], "unknown_field", "/topics/0/regex"),
        ([{"name": "Money"}] * 21, "max_length", "/topics"),
    ],
)
def test_what_is_wrong_with_topics_is_pointed_at(topics, code, pointer):
    with pytest.raises(InvalidInput) as caught:
        abilities.topics(topics)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
