"""The one exception that is meant for a person, and the exit codes that scripts may rely on."""

import errno
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every door. Codes below 128 that are not listed here are never used on purpose."""

    DONE = 0
    UNEXPECTED = 1  # a bug or a crash: restarting may help
    CONFIG_REFUSED = 2  # the configuration is wrong: restarting cannot help
    PREFLIGHT_REFUSED = 3  # configuration is fine, but data, tokenizer, disk or checkpoint is not
    RERUN_ELSEWHERE = 16  # a process computed something else than its replicas: restart without that host
    NOT_TRUSTWORTHY = 17  # training diverged and its budgets are spent: a person must look at it
    SAVED = 85  # stopped from outside with everything saved: the same command continues
    HUNG = 124  # stood still and was ended, stacks are in the run folder: restart


class UserError(Exception):
    """Something the user can mend. Doors print the message without a traceback and exit with `code`.

    A message says what is wrong, where, and what to do. Several problems are reported together.
    """

    def __init__(self, *problems: str, code: ExitCode = ExitCode.PREFLIGHT_REFUSED) -> None:
        if not problems:
            raise ValueError("UserError needs at least one problem")
        super().__init__("\n".join(problems))
        self.problems = problems
        self.code = code


PASSING = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EREMOTEIO,
        errno.ETIMEDOUT,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ENOTCONN,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
"""Numbers of errors of a disk or a network that may be back at the next start."""


def code_of(error: BaseException) -> ExitCode:
    """The exit code of a process that ends with `error` before it trains."""
    if isinstance(error, UserError):
        return error.code
    if isinstance(error, OSError) and error.errno is not None and error.errno not in PASSING:
        return ExitCode.PREFLIGHT_REFUSED
    return ExitCode.UNEXPECTED


def reason_of(error: BaseException) -> str:
    """`error` in words: those of a `UserError` are whole."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def config_error(problems: Iterable[str]) -> UserError:
    """A `UserError` for a refused configuration (exit code 2)."""
    return UserError(*problems, code=ExitCode.CONFIG_REFUSED)
