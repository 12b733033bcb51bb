"""The one exception that is meant for a person, and the exit codes that scripts may rely on."""

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every door. Codes below 128 that are not listed here are never used on purpose."""

    DONE = 0
    UNEXPECTED = 1  # a bug or a crash: restarting may help
    CONFIG_REFUSED = 2  # the configuration is wrong: restarting cannot help
    PREFLIGHT_REFUSED = 3  # configuration is fine, but data, tokenizer, disk or checkpoint is not


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


def config_error(problems: Iterable[str]) -> UserError:
    """A `UserError` for a refused configuration (exit code 2)."""
    return UserError(*problems, code=ExitCode.CONFIG_REFUSED)
