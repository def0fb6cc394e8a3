import pytest

from project.accounts.models import Role, User
from sessions import builtin_personas, personas
from sessions.models import Persona

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/api/v1/personas"


@pytest.fixture
def make(client):
    def create(**fields):
        return client.post(PATH, {"name": "Shop assistant"} | fields, format="json")

    return create


def test_one_can_be_made_read_changed_and_deleted(make, client) -> None:
    answer = make(greeting="Welcome!", knowledge="We open at nine.", voice="en-joe", max_tokens=200)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["slug"], made["language"], made["shared"]) == ("shop-assistant", "en", False)
    where = answer.headers["Location"]
    assert client.get(where).json() == made
    assert client.get(f"{PATH}/shop-assistant").json() == made
    changed = client.patch(where, {"greeting": "Hello!", "voice": None}, format="json").json()
    assert (changed["greeting"], changed["voice"], changed["knowledge"]) == (
        "Hello!",
        None,
        "We open at nine.",
    )
    assert client.delete(where).status_code == 204
    assert client.get(where).json()["code"] == "persona_not_found"
    assert make().json()["slug"] == "shop-assistant"


def test_the_list_shows_ones_own_and_everybodys(make, client, stranger) -> None:
    builtin_personas.load()
    make()
    assert client.get(PATH).json()["results"][0]["name"] == "Shop assistant"
    assert len(client.get(PATH).json()["results"]) == 4
    assert stranger.get(PATH).json()["results"][0]["slug"] == "support"
    assert len(stranger.get(PATH).json()["results"]) == 3
    assert [one["slug"] for one in client.get(f"{PATH}?search=tutor").json()["results"]] == ["tutor"]


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"name": ""}, "blank", "/name"),
        ({"name": "x" * 121}, "max_length", "/name"),
        ({"slug": "not a slug"}, "invalid", "/slug"),
        ({"language": "english please"}, "invalid", "/language"),
        ({"voice": "nobody"}, "voice_not_found", "/voice"),
        ({"system_prompt": "x" * 8001}, "max_length", "/system_prompt"),
        ({"greeting": "x" * 1001}, "max_length", "/greeting"),
        ({"knowledge": "x" * 60001}, "max_length", "/knowledge"),
        ({"max_tokens": 0}, "min_value", "/max_tokens"),
        ({"max_history_turns": 10_000}, "max_value", "/max_history_turns"),
        ({"greeting": {"text": "Hi"}}, "invalid", "/greeting"),
    ],
)
def test_what_cannot_be_one_is_refused_by_name(make, fields, code, pointer) -> None:
    answer = make(**fields)
    assert answer.status_code == 400
    assert (answer.json()["errors"][0]["code"], answer.json()["errors"][0]["pointer"]) == (code, pointer)


def test_a_slug_is_taken_once_in_an_account(make, api, mallory) -> None:
    assert make(slug="desk").status_code == 201
    assert make(slug="desk").json()["errors"][0]["code"] == "slug_taken"
    foreign = api(mallory).post(PATH, {"name": "Desk", "slug": "desk"}, format="json")
    assert foreign.status_code == 201


def test_names_may_repeat(make) -> None:
    first, second = make().json(), make().json()
    assert first["slug"] != second["slug"]


def test_there_is_an_end_to_how_many(make, monkeypatch) -> None:
    monkeypatch.setattr(personas, "MAX_PERSONAS", 1)
    make()
    assert (make().status_code, make().json()["code"]) == (409, "too_many_personas")


def test_what_is_no_field_cannot_be_changed(make, client) -> None:
    where = make().headers["Location"]
    assert client.patch(where, {"owner": "usr_x"}, format="json").json()["code"] == "not_editable"
    assert client.patch(where, ["name"], format="json").status_code == 400


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_a_stranger_finds_nothing(make, stranger, method) -> None:
    where = make().headers["Location"]
    answer = getattr(stranger, method)(where, {"name": "Mine"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (404, "persona_not_found")
    assert Persona.objects.get(slug="shop-assistant").name == "Shop assistant"


def test_what_everybody_uses_is_changed_by_staff_alone(client, api) -> None:
    builtin_personas.load()
    answer = client.patch(f"{PATH}/tutor", {"name": "Mine"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "persona_shared")
    assert client.delete(f"{PATH}/tutor").status_code == 403
    staff = api(User.objects.create_user("staff@example.com", role=Role.OPERATOR))
    assert staff.patch(f"{PATH}/tutor", {"name": "Ours"}, format="json").json()["name"] == "Ours"


def test_a_repeated_request_makes_one(client) -> None:
    headers = {"Idempotency-Key": "persona-1"}
    for _ in range(2):
        assert client.post(PATH, {"name": "Once"}, format="json", headers=headers).status_code == 201
    assert Persona.objects.filter(name="Once").count() == 1


TOOLS = [
    {"type": "end_call", "say": "Bye!"},
    {
        "type": "webhook",
        "name": "order",
        "description": "Where an order is",
        "url": "https://93.184.216.34/order",
        "parameters": {"type": "object", "properties": {}},
        "filler": "",
    },
]
TOPICS = [{"name": "Money", "phrases": ["invest in"], "answer": "No.", "action": "refuse"}]


def test_tools_topics_and_the_length_of_answers_are_kept(make, client) -> None:
    made = make(tools=TOOLS, topics=TOPICS, max_answer_seconds=30).json()
    assert (made["tools"], made["topics"], made["max_answer_seconds"]) == (TOOLS, TOPICS, 30)
    persona = Persona.objects.get(pk=made["id"])
    kept = personas.snapshot(persona)
    assert (kept["tools"], kept["topics"], kept["max_answer_seconds"]) == (TOOLS, TOPICS, 30)
    changed = client.patch(f"{PATH}/{made['id']}", {"tools": [], "topics": []}, format="json").json()
    assert (changed["tools"], changed["topics"]) == ([], [])


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"tools": [{"type": "reboot"}]}, "tool_unknown", "/tools/0/type"),
        ({"tools": [TOOLS[1] | {"url": "http://10.0.0.1/"}]}, "address_not_allowed", "/tools/0/url"),
        ({"topics": [{"name": "Money", "phrases": [""]}]}, "invalid_phrase", "/topics/0/phrases/0"),
        ({"max_answer_seconds": 1}, "min_value", "/max_answer_seconds"),
    ],
)
def test_wrong_tools_and_topics_are_pointed_at(make, client, fields, code, pointer) -> None:
    where = f"{PATH}/{make().json()['id']}"
    for answer in (make(**fields), client.patch(where, fields, format="json")):
        assert answer.status_code == 400
        assert (answer.json()["errors"][0]["code"], answer.json()["errors"][0]["pointer"]) == (code, pointer)


def test_nobody_else_changes_ones_tools(make, client, stranger) -> None:
    where = f"{PATH}/{make(tools=TOOLS).json()['id']}"
    assert stranger.patch(where, {"tools": []}, format="json").status_code == 404
    assert client.get(where).json()["tools"] == TOOLS


def test_where_a_shared_tool_calls_is_shown_to_those_alone_who_may_change_it(client, api) -> None:
    builtin_personas.load()
    tool = {
        "type": "webhook",
        "name": "stock",
        "description": "Looks",
        "url": "https://hooks.example.com/s?key=1",
    }
    Persona.objects.filter(slug="tutor").update(tools=[tool, {"type": "end_call", "say": ""}])
    seen = client.get(f"{PATH}/tutor").json()["tools"]
    assert seen == [{**tool, "url": ""}, {"type": "end_call", "say": ""}]
    assert "key=1" not in client.get(PATH).content.decode()
    staff = api(User.objects.create_user("staff@example.com", role=Role.OPERATOR))
    assert staff.get(f"{PATH}/tutor").json()["tools"][0] == tool
