"""How verdicts and advice look in a terminal."""

from seemrl.instrument.forecast.advice import Advice
from seemrl.instrument.forecast.verdict import Verdict

_STYLES: dict[Verdict, str] = {"stable": "green", "watch": "yellow", "diverging": "red", "diverged": "bold red"}


def styled(verdict: Verdict, text: str | None = None) -> str:
    """A verdict, or a text about it, in the verdict's colour, as rich markup."""
    return f"[{_STYLES[verdict]}]{text or verdict}[/]"


def told(advice: Advice) -> str:
    """The best remedy, and the signs of a bug, a line each."""
    best = advice.best
    if best is None:
        remedy = "no remedy that was measured helps; see advice.json"
    else:
        remedy = f"what {best.standing}, measured now: {best.in_short}\n  {best.action}"
    return "\n".join([remedy, *(f"looks like a mistake: {sign.name}: {sign.seen}" for sign in advice.signs)])
