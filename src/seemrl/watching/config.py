"""The options of ``seemrl watch``; imports nothing heavy, so that the help text is fast."""

from dataclasses import dataclass

from tyro.conf import Positional


@dataclass(frozen=True)
class WatchConfig:
    """Show a run or a monitor's log in the terminal while it grows: verdict, |Q|, SEEM, forecast, reasons.

    Reads alone, twice a second; Ctrl-C ends it, and the run goes on.
    """

    run: Positional[str]
    """Directory that `seemrl train` or a `seemrl.Monitor` writes."""

    once: bool = False
    """Print one view and end; so it does wherever the output is no terminal."""

    wait: bool = False
    """Wait for a directory that does not exist yet."""
