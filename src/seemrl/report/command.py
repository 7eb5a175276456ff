"""``seemrl report``: one page about one or several runs."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from seemrl.errors import InputError


@dataclass(frozen=True)
class ReportConfig:
    """Write one self-contained HTML page about one or several runs: verdicts, forecasts, charts, settings."""

    runs: Positional[tuple[str, ...]]
    """Directories that `seemrl train` or a `seemrl.Monitor` wrote."""
    out: str | None = None
    """HTML file to write; default: report.html inside the run, or for several runs seemrl-report.html here."""
    title: str = "Will these Q-values blow up?"
    """Heading of the page."""


def run_report(config: ReportConfig) -> Path:
    """Read the runs, write the page, print its path and return it.

    Raises:
        InputError: a run cannot be read or the page cannot be written.
    """
    from seemrl.report.html import write_report
    from seemrl.report.runs import read_run

    if not config.runs:
        raise InputError("no run to report on; name at least one run directory")
    records = [read_run(run) for run in config.runs]
    out = write_report(records, _output(config), title=config.title)
    print(out)
    return out


def _output(config: ReportConfig) -> Path:
    if config.out is not None:
        return Path(config.out)
    return Path(config.runs[0]) / "report.html" if len(config.runs) == 1 else Path("seemrl-report.html")
