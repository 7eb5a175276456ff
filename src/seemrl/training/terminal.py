"""How verdicts look in a terminal."""

from seemrl.instrument.forecast.verdict import Verdict

_STYLES: dict[Verdict, str] = {"stable": "green", "watch": "yellow", "diverging": "red", "diverged": "bold red"}


def styled(verdict: Verdict, text: str | None = None) -> str:
    """A verdict, or a text about it, in the verdict's colour, as rich markup."""
    return f"[{_STYLES[verdict]}]{text or verdict}[/]"
