"""The module itself: what it offers, when it gives up, how it cuts captions."""

import pytest

from tests.browser.live.fake_session import SESSION, TOKEN, wait_for


@pytest.fixture
def blank(fake, tab):
    """A page of the service on which nothing has begun."""
    page = tab().page
    page.goto(f"{fake.url}/live/{SESSION}")
    page.get_by_text("This link is not valid").wait_for()
    return page


def module(page, script: str, name: str = "parley-live.js"):
    """Run `script` with the module as `m`."""
    return page.evaluate(f"import('/static/live/{name}').then(async (m) => {{ {script} }})")


def test_h264_baseline_is_offered_first_and_the_microphone_both_ways(fake, call) -> None:
    call()
    sdp = fake.messages("rtc.offer")[0]["sdp"]
    video = sdp[sdp.index("m=video") :].splitlines()
    first = video[0].split()[3]
    assert f"a=rtpmap:{first} H264/90000" in video
    (parameters,) = [line for line in video if line.startswith(f"a=fmtp:{first} ")]
    assert "packetization-mode=1" in parameters
    assert "profile-level-id=42" in parameters
    assert "a=recvonly" in video
    audio = sdp[sdp.index("m=audio") : sdp.index("m=video")]
    assert "a=sendrecv" in audio


def test_candidates_follow_the_offer_and_name_it(fake, call) -> None:
    page = call().page
    wait_for(lambda: fake.messages("rtc.candidate"), page.wait_for_timeout)
    kinds = [message["type"] for message in fake.heard if message["type"].startswith("rtc.")]
    assert kinds[0] == "rtc.offer"
    assert all(message["id"] == "1" for message in fake.messages("rtc.candidate"))


def test_echo_is_cancelled_and_noise_suppressed(fake, lobby) -> None:
    page = lobby().page
    page.evaluate(
        "(() => { const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        " navigator.mediaDevices.getUserMedia = (wanted) => (globalThis.wanted = wanted, real(wanted)); })()"
    )
    page.locator("#join").click()
    page.wait_for_selector("body[data-state=live]")
    wanted = page.evaluate("wanted.audio")
    names = ("echoCancellation", "noiseSuppression", "autoGainControl")
    assert all(wanted[name] is True for name in names)


def test_few_pictures_are_a_weak_network_in_words(fake, call) -> None:
    fake.fps = 8
    page = call().page
    page.locator("#status-words").get_by_text("Weak network").wait_for()


def test_it_gives_up_after_a_while_and_says_why(blank) -> None:
    told = module(
        blank,
        "const s = new m.ParleySession({ wsUrl: `ws://${location.hostname}:1/`, token: 't', mic: false,"
        " giveUpSeconds: 1, backoffMs: 50 });"
        " const over = new Promise((ok) => s.addEventListener('ended', (e) => ok(e.detail)));"
        " await s.start(); return { ...(await over), state: s.state };",
    )
    assert told == {"state": "failed", "reason": "unreachable"}


def test_leaving_keeps_the_session_and_joining_again_takes_it_up(fake, blank) -> None:
    script = (
        f"const s = m.ParleySession.fromJoinUrl('{fake.url}/live/{SESSION}#{TOKEN}', {{ mic: false }});"
        " const live = new Promise((ok) => s.addEventListener('state', () => s.state === 'live' && ok()));"
        " await s.start(); await live; s.close(); return s.state;"
    )
    for joined in (1, 2):
        module(blank, script)
        assert len(fake.joins) == joined
    assert fake.messages("session.end") == []


JOIN = (
    f"const wsUrl = `ws://${{location.host}}/ws/sessions/{SESSION}/`;"
    f" const s = new m.ParleySession({{ wsUrl, token: '{TOKEN}', mic: false }});"
    " const told = []; for (const name of ['caption', 'phase', 'error'])"
    " s.addEventListener(name, ({ detail: d }) => told.push(d.text ?? d.phase ?? d.code));"
    " const live = new Promise((ok) => s.addEventListener('state', () => s.state === 'live' && ok()));"
)


def test_what_comes_right_behind_a_join_does_not_hide_what_the_join_told(fake, blank) -> None:
    fake.at_join = [
        {"type": "session.state", "status": "active", "phase": "speaking"},
        {"type": "reply.utterance", "turn": 2, "text": "As I said.", "start_ms": 0, "end_ms": 900},
    ]
    script = "await s.start(); await live; s.close(); return { info: s.info, told };"
    found = module(blank, JOIN + script)
    assert found["info"]["ice_servers"] == []
    assert found["info"]["limits"] == {"warning_seconds": 60}
    assert found["info"]["consent"]
    assert found["told"] == ["speaking", "As I said."]


def test_what_a_slow_line_repeats_is_no_news(fake, blank) -> None:
    """A join of long ago is among it; it is not taken for this one."""
    fake.replay_pause = 0.06
    past = [
        {"type": "session.state", "status": "active", "phase": "idle", "ice_servers": []},
        {"type": "session.state", "status": "active", "phase": "speaking"},
        {"type": "reply.utterance", "turn": 2, "text": "Long ago.", "start_ms": 0, "end_ms": 900},
        {"type": "speech.ended", "turn": 2, "interrupted": False, "heard_text": "Long ago."},
        {"type": "error", "code": "speech_timeout", "detail": ""},
        {"type": "session.state", "status": "active", "phase": "thinking"},
    ]
    fake.call(_remember(fake, past))
    script = "await s.start(); await live; s.close(); return { told, said: s.transcript.map((e) => e.text) };"
    assert module(blank, JOIN + script) == {"told": [], "said": ["Long ago."]}
    assert fake.offers == 1


async def _remember(fake, events) -> None:
    for event in events:
        await fake._emit(event)


def test_events_that_were_lost_on_the_way_are_asked_for_again(fake, call) -> None:
    page = call().page
    fake.lost = {"transcript.final"}
    fake.emit(type="transcript.final", turn=1, text="Where is my parcel?")
    fake.lost = set()
    seen = len(fake.events)
    fake.emit(type="reply.delta", turn=2, text="On its way.")
    page.locator(".turn").get_by_text("Where is my parcel?").wait_for()
    page.locator(".turn").get_by_text("On its way.").wait_for()
    assert fake.joins[1] == seen - 1
    assert page.locator(".turn:not(.partial)").count() == 2
    page.wait_for_selector("body[data-state=live]")
    assert fake.offers == 1  # the picture went on


def test_answers_that_no_other_socket_hears_leave_no_gap(fake, call) -> None:
    page = call().page
    fake.numbered_answers = True
    page.evaluate("dispatchEvent(new Event('online'))")  # asks whether the socket lives
    wait_for(lambda: fake.messages("ping"), page.wait_for_timeout)
    fake.emit(type="transcript.final", turn=1, text="Still here?")
    page.locator(".turn").get_by_text("Still here?").wait_for()
    page.wait_for_timeout(1000)
    assert len(fake.joins) == 1


def test_an_address_that_is_no_link_to_a_session_is_refused(blank) -> None:
    refused = "try { m.parseJoinUrl(%s); return 'taken'; } catch (error) { return error.name; }"
    assert module(blank, refused % "'https://parley.example/live/ses_1'") == "TypeError"
    assert module(blank, refused % "'https://parley.example/other#token'") == "TypeError"
    taken = module(blank, "return m.parseJoinUrl('https://parley.example/live/ses_1#token=abc')")
    assert taken == {"id": "ses_1", "token": "abc", "wsUrl": "wss://parley.example/ws/sessions/ses_1/"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Short and whole.", ["Short and whole."]),
        ("", []),
        (
            "When a parcel comes broken, we take it back at our cost, and send another one the same day.",
            [
                "When a parcel comes broken, we take it back at our cost,",
                "and send another one the same day.",
            ],
        ),
        ("x" * 100, ["x" * 84, "x" * 16]),
        (
            "荷物が壊れて届いた場合は、" * 8,
            ["荷物が壊れて届いた場合は、" * n for n in (3, 3, 2)],
        ),
    ],
)
def test_long_captions_are_cut_where_they_can_be_read(blank, text, expected) -> None:
    cut = blank.evaluate("(text) => import('/static/live/captions.js').then((m) => m.pieces(text))", text)
    assert cut == expected


def test_a_failed_answer_shows_what_was_written_and_a_stopped_one_what_was_heard(fake, call) -> None:
    page = call().page
    fake.emit(type="reply.delta", turn=2, text="Let me look.")
    fake.emit(type="error", code="provider_timeout", detail="Too slow")
    fake.emit(type="reply.delta", turn=2, text=" Sorry, please ask again.")
    fake.emit(type="metrics", turn=2, llm_first_token_ms=1)
    page.locator(".said").get_by_text("Let me look. Sorry, please ask again.").wait_for()
    fake.emit(type="reply.delta", turn=4, text="This was never spoken.")
    page.locator(".coming").get_by_text("This was never spoken.").wait_for()
    fake.emit(type="metrics", turn=4, llm_first_token_ms=1)  # stopped while it thought
    page.locator(".coming").get_by_text("This was never spoken.").wait_for(state="detached")
    assert page.locator(".turn:visible").count() == 1


# What docs/conversation.md and docs/sessions.md name; the endings of the first three are those of providers.
PROVIDERS = ("timeout", "unreachable", "refused", "truncated", "busy", "error", "unauthorized", "quota")
PARTS = {"language_model": ("empty",), "speech": ("no_audio",), "recognition": ()}
CODES = [f"{part}_{end}" for part, more in PARTS.items() for end in (*PROVIDERS, *more)] + [
    *("render_timeout", "render_malformed", "render_failed", "no_slot", "broker_unavailable"),
    *("database_unavailable", "storage_unavailable", "nothing_heard", "nothing_to_say", "internal_error"),
    *("microphone_rate", "audio_malformed", "audio_too_large", "audio_too_fast", "message_malformed"),
    *("message_too_large", "unknown_message", "invalid_field", "too_many_messages", "say_not_allowed"),
    *("sdp_invalid", "sdp_too_large", "sdp_without_video", "sdp_without_codec", "too_many_offers"),
    *("candidate_invalid", "candidates_too_many", "text_too_long", "session_not_active", "media_unreachable"),
]


def test_every_code_that_the_service_sends_has_words_for_people(blank) -> None:
    told = module(blank, f"return {CODES}.map((code) => m.troubleWords(code, 'raw'));", "wording.js")
    found = dict(zip(CODES, told, strict=True))
    assert [code for code, words in found.items() if words == "raw"] == []
    assert "answer" in found["language_model_quota"]
    assert "voice" in found["speech_timeout"]
    assert "understood" in found["recognition_unreachable"]
    unknown = "return [m.troubleWords('new', 'raw'), m.troubleWords('new', '')];"
    assert module(blank, unknown, "wording.js") == ["raw", "Something went wrong."]
