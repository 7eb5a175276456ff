"""The one exception for a user's mistake: the command line prints it as a single line and exits with 2."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line for the person who gave it: what was wrong, where (file, key, row) and what to do.
    """


class MissingPartError(InputError):
    """An optional part is not installed; the message carries the pip line that installs it."""

    def __init__(self, part: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {part}, which is not installed; run: pip install 'seemrl[{extra}]'")
        self._told = (part, extra, purpose)

    def __reduce__(self) -> tuple[type["MissingPartError"], tuple[str, str, str]]:
        return MissingPartError, self._told  # it has to arrive whole from the process of a run


def reason(error: BaseException, most: int = 160) -> str:
    """An exception of somebody else's code in a few printable words: its type and its first line."""
    lines = str(error).strip().splitlines() or [""]
    joined = " ".join(f"{type(error).__name__}: {lines[0]}"[:most].split())
    return "".join(character if character.isprintable() else "?" for character in joined).rstrip(".: ")


def require_option(holds: bool, name: str, value: object, wanted: str) -> None:
    """Refuse an option of the command line unless something holds.

    Raises:
        InputError: names the option, its value and what fits.
    """
    if not holds:
        raise InputError(f"--{name.replace('_', '-')} {value}: it must be {wanted}")
