import pytest

from workers.adapters.dashscope.account import root
from workers.adapters.dashscope.verdicts import verdict


@pytest.mark.parametrize(
    ("code", "ours", "retryable"),
    [
        ("InvalidApiKey", "provider_unauthorized", False),
        ("invalid_api_key", "provider_unauthorized", False),
        ("Model.AccessDenied", "provider_unauthorized", False),
        ("Arrearage", "provider_quota", False),
        ("AllocationQuota.FreeTierOnly", "provider_quota", False),
        ("Throttling", "provider_busy", True),
        ("Throttling.RateQuota", "provider_busy", True),
        ("Throttling.AllocationQuota", "provider_busy", True),
        ("limit_requests", "provider_busy", True),
        ("DataInspectionFailed", "provider_refused", False),
        ("data_inspection_failed", "provider_refused", False),
        ("InternalError", "provider_error", True),
        ("InternalError.Algo", "provider_error", True),
        ("ModelServingError", "provider_error", True),
        ("RequestTimeOut", "provider_timeout", True),
        ("ResponseTimeout", "provider_timeout", True),
        ("ModelNotFound", "provider_not_found", False),
        ("InvalidParameter", "provider_rejected", False),
        ("BadRequest.EmptyInput", "provider_rejected", False),
        ("Audio.DecoderError", "provider_rejected", False),
        ("SomethingNew", "provider_error", False),
        ("", "provider_error", False),
    ],
)
def test_each_code_means_one_thing(code: str, ours: str, *, retryable: bool):
    error = verdict("qwen", code, "what was said")
    assert (error.code, error.retryable, error.provider) == (ours, retryable, "qwen")
    assert "what was said" not in str(error)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("[tts:]Engine return error code: 418", ""),
        ("[cosyvoice:]Engine return error code: 418", ""),
        ("Invalid value.", "session.voice"),
    ],
)
def test_an_unknown_voice_shows_in_words_or_in_the_parameter(message: str, param: str):
    assert verdict("cosyvoice", "InvalidParameter", message, param).code == "voice_not_found"


def test_a_service_that_waited_in_vain_is_asked_again():
    error = verdict("dashscope", "InvalidParameter", "request timeout after 23 seconds.")
    assert (error.code, error.retryable) == ("provider_timeout", True)


@pytest.mark.parametrize(
    "given",
    [
        "https://host.example",
        "https://host.example/",
        "https://host.example/compatible-mode/v1",
        "https://host.example/api-ws/v1/inference",
        "https://host.example/api/v1",
    ],
)
def test_any_of_the_services_addresses_leads_to_all(given: str):
    assert root(given) == "https://host.example"
