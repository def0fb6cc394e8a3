"""What a clip leaves in the log and in its trace."""

import logging

from project import tracing
from project.webhooks import delivery
from project.webhooks.models import Delivery, WebhookEndpoint
from tests.support.otlp import traced
from workers import dispatch
from workers.adapters.errors import AdapterError

LINE = "generation.clips.over"


def over(caplog):
    (record,) = [one for one in caplog.records if one.name == LINE]
    return record


def test_a_clip_has_one_trace_from_acceptance_to_its_webhook(make, broker, alice):
    WebhookEndpoint.objects.create(owner=alice, url="http://127.0.0.1:1/hook")
    with traced() as kept:
        clip = make()
        broker.run()
        delivery.deliver(Delivery.objects.get().pk)
    clip.refresh_from_db()
    assert clip.status == "succeeded"
    root = kept.one("clip")
    assert {span.trace for span in kept.spans} == {root.trace}
    assert root.trace == f"{tracing.clip(clip.pk).trace:032x}"
    stages = {"accept", "speech", "fragment", "assembly", "webhook"}
    assert {span.name for span in kept.spans if span.parent == root.id} == stages
    assert {span.facts["fragment"] for span in kept.named("fragment")} == set(range(clip.fragments_total))
    for fragment in kept.named("fragment"):
        assert {span.name for span in kept.spans if span.parent == fragment.id} == {"draw", "store"}
    speech = kept.one("speech")
    assert {span.facts["utterance"] for span in kept.named("synthesis")} == {0, 1, 2}
    assert {span.parent for span in kept.named("synthesis")} == {speech.id}
    assert root.facts["outcome"] == "succeeded"
    assert root.facts["fragments"] == clip.fragments_total
    assert root.begun <= speech.begun < root.ended
    assert speech.facts["waited_ms"] >= 0
    assert kept.one("webhook").code == "webhook_failed"
    assert all(span.facts["clip"] == clip.pk for span in kept.spans if span.name in stages - {"webhook"})


def test_what_goes_wrong_is_told_by_its_code_and_starts_again_in_the_same_trace(make, broker, voice, forget):
    voice.failures = [AdapterError("zebrafinch", provider="tone", retryable=True, code="provider_busy")]
    with traced() as kept:
        clip = make()
        broker.run()
        forget(clip)
        dispatch.speak(clip.pk)
        broker.run()
    first, second = sorted(kept.named("speech"), key=lambda span: span.begun)
    assert (first.code, second.code) == ("provider_busy", "")
    assert first.trace == second.trace == kept.one("clip").trace
    assert b"zebrafinch" not in kept.raw


def test_the_line_of_a_clip_tells_figures_and_no_words(make, broker, caplog):
    with caplog.at_level(logging.INFO):
        clip = make(script="The zebrafinch sings. And sings.")
        broker.run()
    clip.refresh_from_db()
    line = over(caplog)
    assert line.getMessage() == "A clip is over: succeeded"
    assert line.facts["duration_ms"] == clip.duration_ms
    assert line.facts["characters"] == len("The zebrafinch sings. And sings.")
    assert "zebrafinch" not in caplog.text
    assert "zebrafinch" not in str([vars(record) for record in caplog.records])


def test_the_line_of_a_clip_holds_its_script_where_that_is_wanted(make, broker, caplog, settings):
    settings.LOG_SPOKEN_TEXT = True
    with caplog.at_level(logging.INFO):
        make(script="The zebrafinch sings.")
        broker.run()
    assert over(caplog).facts["script"] == "The zebrafinch sings."


def test_a_failed_clip_is_told_with_its_code(make, broker, voice, caplog):
    voice.failures = [AdapterError("no", provider="tone", retryable=False, code="provider_quota")]
    with traced() as kept, caplog.at_level(logging.INFO):
        make()
        broker.run()
    assert over(caplog).getMessage() == "A clip is over: provider_quota"
    assert kept.one("clip").code == "provider_quota"
