"""The command behind ``seemrl watch``; imports nothing heavy until it runs."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from seemrl.watching.config import WatchConfig

if TYPE_CHECKING:
    from rich.console import Console

_PAUSE = 0.5  # seconds between two looks
_FILES = ("config.json", "readings.jsonl", "metrics.jsonl", "evaluations.jsonl", "advice.json")


def run_watch(config: WatchConfig) -> None:
    """Show the run until Ctrl-C, which is no failure here, or once.

    Raises:
        InputError: there is no such run (unless it is waited for), or one of its files is broken.
    """
    try:
        _watch(config)
    except KeyboardInterrupt:
        return  # how a watch ends; the last view stays on the screen


def _watch(config: WatchConfig) -> None:
    from rich.console import Console
    from rich.live import Live

    from seemrl.report.runs import read_run
    from seemrl.watching.view import view

    run, console = Path(config.run), Console()
    if config.wait:
        _wait_for(run / "config.json", console)
    seen, record = _state(run), read_run(run)  # in this order: what is written in between is read again
    if config.once or not console.is_terminal:
        console.print(view(record, console.width))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(view(record, console.width), refresh=True)
            time.sleep(_PAUSE)
            state = _state(run)
            if state != seen:  # a long log is not read again for nothing
                seen, record = state, read_run(run)


def _wait_for(file: Path, console: "Console") -> None:
    if file.exists():
        return
    with console.status("waiting for the run to begin"):  # silent where the output is no terminal
        while not file.exists():
            time.sleep(_PAUSE)


def _state(run: Path) -> list[tuple[int, int] | None]:
    """Size and time of change of each file; None where there is none."""
    return [_stamp(run / name) for name in _FILES]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
