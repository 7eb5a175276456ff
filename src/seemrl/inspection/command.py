"""The command behind ``seemrl data info``; imports nothing heavy until it runs."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from seemrl.errors import InputError
from seemrl.files import strict


@dataclass(frozen=True, kw_only=True)
class InfoConfig:
    """Tell what a data set holds, and warn of what makes critics diverge."""

    data: Positional[str]
    """D4RL or d3rlpy HDF5, npz, OGBench npz, Parquet, Arrow, or a Minari directory or id."""
    discount: float = 0.99
    """Discount of the reward bound max|r| / (1 - discount)."""
    action_low: float = -1.0
    """Lower end of the action box."""
    action_high: float = 1.0
    """Upper end of the action box."""
    json: bool = False
    """Print everything as JSON instead of tables."""
    html: str = ""
    """Also write a self-contained HTML page here."""


def run_info(config: InfoConfig) -> None:
    """Read the file and print a summary on stdout, as tables or as JSON; write the page where one is asked for.

    Raises:
        InputError: The file cannot be used, or the page cannot be written.
        MissingPartError: The format needs pyarrow, which is not installed.
    """
    if not (math.isfinite(config.action_low) and math.isfinite(config.action_high)) or (
        config.action_low >= config.action_high
    ):
        raise InputError(f"--action-low {config.action_low}: it must be below --action-high {config.action_high}")
    if not 0 <= config.discount < 1:
        raise InputError(f"--discount {config.discount}: it must be in [0, 1)")
    page = _page_path(config.html) if config.html else None
    from rich.console import Console

    from seemrl.data.loading import read
    from seemrl.data.summary import summarize
    from seemrl.inspection.shown import show

    with Console(stderr=True).status("Reading the data"):
        columns = read(config.data)
        summary = summarize(columns, discount=config.discount, low=config.action_low, high=config.action_high)
    if page is not None:
        from seemrl.inspection.page import write_data_page

        write_data_page(summary, page)
    if config.json:
        print(json.dumps(strict(summary.to_dict()), indent=2, allow_nan=False))
    else:
        show(summary, Console())
        if page is not None:
            print(page)


def _page_path(name: str) -> Path:
    page = Path(name)
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html {name}: give a name that ends in .html")
    if not page.parent.is_dir():
        raise InputError(f"--html {name}: no directory {page.parent}; choose another place")
    return page
