"""The way to X through tweepy: one call, and what its failures mean for the text."""

import functools
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from jp_llm.bot.journal import Answer
from jp_llm.runtime.errors import UserError

CREDENTIALS = {
    "consumer_key": "X_CONSUMER_KEY",
    "consumer_secret": "X_CONSUMER_SECRET",
    "access_token": "X_ACCESS_TOKEN",
    "access_token_secret": "X_ACCESS_TOKEN_SECRET",
}
"""Arguments of `tweepy.Client` and the environment variables that they are read from."""

TIMEOUT_SECONDS = 60.0

_ABOUT_THE_ACCOUNT = ("permission", "permitted", "suspended", "locked", "client-not-enrolled", "daily status update")
"""In what X says with 403 where it is not about the text."""
_LIMITS = ("x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour")


@dataclass(frozen=True)
class Outcome:
    """What became of a post."""

    answer: Answer
    number: str = ""
    """Of the post, where X gave one."""
    problem: str = ""
    """What went wrong, in words."""
    retry_at: datetime | None = None
    """When X takes posts again, where it says so."""
    is_final: bool = False
    """No other text would fare better: a person must look at it."""


class Poster(Protocol):
    """Posts a text; never raises for what X or the network does."""

    def post(self, text: str) -> Outcome: ...


class XPoster:
    """Posts through `tweepy.Client.create_tweet` with the credentials of the environment.

    Raises:
        UserError: a credential is missing (all are named), or tweepy is not installed.
    """

    def __init__(self) -> None:
        values = {argument: os.environ.get(name, "").strip() for argument, name in CREDENTIALS.items()}
        if missing := [CREDENTIALS[argument] for argument, value in values.items() if not value]:
            raise UserError(
                f"{', '.join(missing)}: not set in the environment; X shows them under Keys and tokens of your app "
                "(with permission to read and write)"
            )
        try:
            import tweepy
        except ImportError as error:
            raise UserError("posting on X needs tweepy; pip install 'jp-llm[bot]'") from error
        self._secrets = list(values.values())
        self._client: Any = tweepy.Client(**values)
        session = self._client.session
        # A connection that was idle between two posts may be dead without a word, and then nobody knows of the post.
        session.headers["Connection"] = "close"
        # tweepy waits for ever otherwise.
        session.request = functools.partial(session.request, timeout=TIMEOUT_SECONDS)

    def post(self, text: str) -> Outcome:
        """Post `text` once; no failure is tried again here."""
        import tweepy

        try:
            response = self._client.create_tweet(text=text)
        except tweepy.HTTPException as error:
            return self._answered(error)
        except Exception as error:  # also what tweepy and requests raise over an answer that they do not expect
            return Outcome("not_sent" if _was_not_sent(error) else "unknown", problem=self._words(error))
        try:
            return Outcome("posted", number=str(response.data["id"]))
        except (AttributeError, KeyError, TypeError):
            return Outcome("unknown", problem="X answered without the number of the post")

    def _answered(self, error: Any) -> Outcome:
        """What an answer other than success means."""
        words, status = self._words(error), error.response.status_code
        if status == 429:
            return Outcome("not_sent", problem=words, retry_at=_end_of_limit(error.response.headers))
        if status >= 500:
            return Outcome("unknown", problem=words)
        # Without words of X it is something on the way that refuses, whatever the text is.
        is_of_x = bool(error.api_errors or error.api_messages)
        if status in (400, 403) and is_of_x and not any(mark in words.lower() for mark in _ABOUT_THE_ACCOUNT):
            return Outcome("refused", problem=words)
        return Outcome("not_sent", problem=words, is_final=True)

    def _words(self, error: Exception) -> str:
        words = f"{type(error).__name__}: {error}"
        for secret in self._secrets:
            words = words.replace(secret, "(secret)")
        return " ".join(words.split())


def _end_of_limit(headers: Mapping[str, str]) -> datetime | None:
    """When the last of the limits ends that are used up."""
    try:
        ends = [
            datetime.fromtimestamp(int(headers[f"{limit}-reset"]), UTC)
            for limit in _LIMITS
            if headers.get(f"{limit}-remaining", "0") == "0" and f"{limit}-reset" in headers
        ]
    except (ValueError, OverflowError, OSError):
        return None
    return max(ends, default=None)


def _was_not_sent(error: Any) -> bool:
    """Whether there was no connection at all, so that X cannot have seen the text."""
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError, SSLError

    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = (
        getattr(error.args[0], "reason", None) if isinstance(error, requests.ConnectionError) and error.args else None
    )
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    if isinstance(reason, SSLError):
        # Other errors of TLS may come after the text was sent.
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError) or str(reason).startswith(
        "Tunnel connection failed"
    )
