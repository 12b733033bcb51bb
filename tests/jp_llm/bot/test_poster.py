"""tweepy's real client, with the network behind it replaced: what every answer means for a text."""

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from jp_llm.bot.poster import CREDENTIALS, TIMEOUT_SECONDS, XPoster
from jp_llm.runtime.errors import UserError

requests = pytest.importorskip("requests")
pytest.importorskip("tweepy")
from urllib3.exceptions import (  # noqa: E402
    LocationParseError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(CREDENTIALS.values()):
        monkeypatch.setenv(name, f"very-secret-{number}")


Network = Callable[[Any], list[dict[str, Any]]]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Answers every request with a response, or an exception; gives back what was asked for."""

    def answer(with_what: Any) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def request(_session: Any, method: str, url: str, **arguments: Any) -> Any:
            asked.append({"method": method, "url": url, **arguments})
            if isinstance(with_what, Exception):
                raise with_what
            return with_what

        monkeypatch.setattr(requests.Session, "request", request)
        return asked

    return answer


def response(status: int, content: Any, **headers: str) -> Any:
    made = requests.Response()
    made.status_code, made.reason = status, "reason"
    made._content = json.dumps(content).encode() if content is not None else b"<html>"
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


def test_a_post_is_one_request_with_the_text(network: Network) -> None:
    asked = network(response(201, {"data": {"id": "17", "text": "猫"}}))
    outcome = XPoster().post("猫である。")
    assert (outcome.answer, outcome.number) == ("posted", "17")
    (request,) = asked
    assert (request["method"], request["json"], request["timeout"]) == ("POST", {"text": "猫である。"}, TIMEOUT_SECONDS)
    assert request["url"].endswith("/2/tweets")
    assert request["auth"] is not None


@pytest.mark.parametrize(
    ("status", "content", "answer", "is_final"),
    [
        (403, {"detail": "You are not allowed to create a Tweet with duplicate content."}, "refused", False),
        (400, {"errors": [{"message": "Your Tweet text is too long"}]}, "refused", False),
        (
            403,
            {"detail": "Your client app is not configured with the right permissions"},
            "not_sent",
            True,
        ),
        (401, {"title": "Unauthorized"}, "not_sent", True),
        (402, {"title": "CreditsDepleted"}, "not_sent", True),
        (403, {"errors": [{"code": 185, "message": "User is over daily status update limit."}]}, "not_sent", True),
        (403, None, "not_sent", True),
        (400, {}, "not_sent", True),
        (404, None, "not_sent", True),
        (503, None, "unknown", False),
        (201, {"data": {}}, "unknown", False),
        (201, ["no object"], "unknown", False),
        (403, ["no object"], "unknown", False),
        (500, ["no object"], "unknown", False),
    ],
)
def test_what_x_answers(network: Network, status: int, content: Any, answer: str, is_final: bool) -> None:
    asked = network(response(status, content))
    outcome = XPoster().post("猫")
    assert (outcome.answer, outcome.is_final) == (answer, is_final)
    assert outcome.problem
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("headers", "retry_at"),
    [
        ({}, None),
        ({"x_rate_limit_reset": "1000"}, 1000),
        ({"x_rate_limit_reset": "9" * 20}, None),
        ({"x_rate_limit_reset": "1000", "x_rate_limit_remaining": "0"}, 1000),
        (
            {
                "x_rate_limit_reset": "1000",
                "x_rate_limit_remaining": "98",
                "x_user_limit_24hour_reset": "9000",
                "x_user_limit_24hour_remaining": "0",
            },
            9000,
        ),
    ],
)
def test_a_rate_limit_says_when_it_ends(network: Network, headers: dict[str, str], retry_at: int | None) -> None:
    network(response(429, {"title": "Too Many Requests"}, **headers))
    outcome = XPoster().post("猫")
    assert outcome.answer == "not_sent"
    assert outcome.retry_at == (None if retry_at is None else datetime.fromtimestamp(retry_at, UTC))


def test_only_what_never_left_may_be_tried_again(network: Network) -> None:
    no_connection = MaxRetryError(None, "/2/tweets", NewConnectionError(None, "no route"))  # type: ignore[arg-type]
    proxy = NewConnectionError(None, "refused")  # type: ignore[arg-type]
    no_proxy = MaxRetryError(None, "/2/tweets", ProxyError("no proxy", proxy))  # type: ignore[arg-type]
    tunnel = OSError("Tunnel connection failed: 503 x")
    no_tunnel = MaxRetryError(None, "/2/tweets", ProxyError("no proxy", tunnel))  # type: ignore[arg-type]
    no_trust = MaxRetryError(None, "/2/tweets", SSLError(ssl.SSLCertVerificationError("self-signed")))  # type: ignore[arg-type]
    broken = MaxRetryError(None, "/2/tweets", SSLError(ssl.SSLError("bad record")))  # type: ignore[arg-type]
    timed_out = MaxRetryError(None, "/2/tweets", ReadTimeoutError(None, "/", "slow"))  # type: ignore[arg-type]
    for error, answer in [
        (requests.ConnectionError(no_connection), "not_sent"),
        (requests.ConnectTimeout("slow"), "not_sent"),
        (requests.exceptions.ProxyError(no_proxy), "not_sent"),
        (requests.exceptions.ProxyError(no_tunnel), "not_sent"),
        (requests.exceptions.SSLError(no_trust), "not_sent"),
        (requests.exceptions.SSLError(broken), "unknown"),
        (LocationParseError("x"), "unknown"),
        (OSError("x"), "unknown"),
        (requests.ConnectionError(timed_out), "unknown"),
        (requests.ReadTimeout("slow"), "unknown"),
        (requests.ConnectionError("connection reset by peer"), "unknown"),
        (requests.exceptions.ChunkedEncodingError(), "unknown"),
    ]:
        network(error)
        assert XPoster().post("猫").answer == answer, error


def test_no_connection_is_kept_between_two_posts() -> None:
    assert XPoster()._client.session.headers["Connection"] == "close"


def test_no_secret_is_said(network: Network) -> None:
    network(response(401, {"detail": "bad key very-secret-0 and very-secret-3"}))
    assert "very-secret" not in XPoster().post("猫").problem


def test_missing_credentials_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("X_CONSUMER_KEY")
    monkeypatch.setenv("X_ACCESS_TOKEN", " ")
    with pytest.raises(UserError, match="X_CONSUMER_KEY, X_ACCESS_TOKEN: not set"):
        XPoster()
