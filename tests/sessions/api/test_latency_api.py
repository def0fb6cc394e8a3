"""Where the time of a conversation went, as its owner reads it."""

import json

import jsonschema
import pytest
from rest_framework.test import APIClient

from project.api import documents
from sessions import services
from sessions.latency import MOST_TURNS, waits
from sessions.models import Turn

pytestmark = pytest.mark.django_db(transaction=True)

STAGES = [
    {"name": "endpoint", "from_ms": 0, "to_ms": 550},
    {"name": "asr", "from_ms": 256, "to_ms": 540, "provider": "local"},
    {"name": "llm", "from_ms": 560, "to_ms": 1200, "first_ms": 700, "provider": "openai"},
    {"name": "tts", "from_ms": 800, "to_ms": 1100, "first_ms": 880, "piece": 1, "provider": "local"},
]
SPOKEN = {
    "response_ms": 1200,
    "first_audible_ms": 640.0,
    "retrieval_ms": 40.0,
    "llm_first_token_ms": 140.0,
    "first_piece_ms": 240.0,
    "tts_first_pcm_ms": 80.0,
    "first_segment_ms": 600.0,
    "render_fps": 61.5,
    "codec": "H264",
    "tools": [{"name": "look_up", "outcome": "done", "ms": 3}],
    "stages": STAGES,
}


@pytest.fixture
def answered(running):
    """Alice's session with some answers."""
    for number in range(1, 21):
        say(running, 2 * number - 1, who="user", text="How much is it?")
        say(running, 2 * number, metrics=SPOKEN | {"response_ms": 1000 + 10 * number})
    running.metrics = {"webrtc_first_frame_ms": 212}
    running.save()
    return running


def say(session, number, who="avatar", **fields) -> None:
    Turn.objects.create(session=session, number=number, who=who, **fields)


def read(client, session):
    return client.get(f"/api/v1/sessions/{session.pk}/latency")


def test_the_owner_reads_every_answer_and_what_is_usual(client, answered) -> None:
    answer = read(client, answered)
    assert answer.headers["Cache-Control"] == "private, no-store"
    told = answer.json()
    assert [turn["turn"] for turn in told["turns"]] == list(range(2, 41, 2))
    assert told["turns"][0]["stages"] == STAGES
    figures = {one["name"]: one for one in told["figures"]}
    assert figures["response_ms"] == {
        "name": "response_ms",
        "unit": "ms",
        "source": "server",
        "n": 20,
        "median": 1105.0,
        "min": 1010,
        "max": 1200,
        "p95": 1190,
    }
    assert figures["render_fps"]["unit"] == "fps"
    assert (figures["webrtc_first_frame_ms"]["n"], figures["webrtc_first_frame_ms"]["median"]) == (1, 212)
    assert "codec" not in figures


def test_it_is_as_the_api_describes_it(client, answered) -> None:
    described = documents.as_dict()
    schema = {"$ref": "#/components/schemas/LatencyOut", "components": described["components"]}
    jsonschema.validate(read(client, answered).json(), schema)


def test_nothing_of_what_was_said_is_told(client, running) -> None:
    say(running, 1, who="user", text="marker-question")
    say(running, 2, text="marker-answer", heard_text="marker-answer", metrics=SPOKEN)
    assert "marker" not in json.dumps(read(client, running).json())


def test_a_conversation_without_an_answer_has_no_figures(client, running) -> None:
    told = read(client, running).json()
    assert (told["measured_turns"], told["figures"], told["turns"]) == (0, [], [])


def test_an_answer_from_before_there_were_stages_still_has_its_figures(client, running) -> None:
    say(running, 2, metrics={name: value for name, value in SPOKEN.items() if name != "stages"})
    (turn,) = read(client, running).json()["turns"]
    assert turn["stages"] == []
    assert sum(wait["ms"] for wait in turn["waits"]) == 1200


def test_of_a_long_conversation_the_newest_answers_are_told(
    client, running, django_assert_max_num_queries
) -> None:
    Turn.objects.bulk_create(
        Turn(session=running, number=number, who="avatar", metrics=SPOKEN) for number in range(1, 251)
    )
    with django_assert_max_num_queries(10):
        told = read(client, running).json()
    assert told["measured_turns"] == 250
    assert [turn["turn"] for turn in told["turns"]] == list(range(251 - MOST_TURNS, 251))


def test_strangers_and_anonymous_callers_learn_nothing(client, stranger, answered) -> None:
    refused = read(stranger, answered)
    assert (refused.status_code, refused.json()["code"]) == (404, "session_not_found")
    assert read(APIClient(), answered).status_code == 401
    services.session_end(answered.pk, "client_ended")
    assert read(client, answered).status_code == 200
    client.delete(f"/api/v1/sessions/{answered.pk}")
    assert read(client, answered).status_code == 404


@pytest.mark.parametrize(
    ("metrics", "stages", "parts"),
    [
        (
            SPOKEN,
            STAGES,
            {
                "listening": 560,
                "retrieval": 40,
                "llm": 100,
                "sentence": 100,
                "tts": 80,
                "render": 280,
                "playout": 40,
            },
        ),
        (
            {"first_audible_ms": 300, "first_piece_ms": 1, "tts_first_pcm_ms": 120, "first_segment_ms": 280},
            [],
            {"sentence": 1, "tts": 120, "render": 159, "playout": 20},
        ),
        (  # a recording is understood first
            {"first_audible_ms": 900, "llm_first_token_ms": 500, "first_piece_ms": 600},
            [{"name": "asr", "from_ms": 0, "to_ms": 400}],
            {"listening": 400, "llm": 100, "sentence": 100, "playout": 300},
        ),
        ({"first_audible_ms": 100, "llm_first_token_ms": 400}, [], {"llm": 100}),
        ({"llm_first_token_ms": 400}, [], {}),
    ],
)
def test_what_was_waited_for_adds_up(metrics, stages, parts) -> None:
    found = {wait["name"]: wait["ms"] for wait in waits(metrics, stages)}
    assert found == parts
    total = metrics.get("response_ms") or metrics.get("first_audible_ms") or 0
    assert sum(found.values()) == (total if found else 0)
