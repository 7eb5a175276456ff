"""The command behind ``seemrl measure``; imports nothing heavy until it runs."""

import contextlib
import json
import sys
from importlib.util import find_spec

from seemrl.errors import MissingPartError
from seemrl.files import strict
from seemrl.measuring.config import MeasureConfig


def run_measure(config: MeasureConfig) -> None:
    """Take one reading of a saved critic and print it on stdout, as a table or as JSON.

    Raises:
        InputError: anything the user gave does not fit.
        MissingPartError: PyTorch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingPartError("PyTorch", "torch", "measuring a saved critic")
    from rich.console import Console

    from seemrl.measuring.checkpoint import read_checkpoint
    from seemrl.measuring.shown import show

    said = Console(stderr=True)
    with contextlib.redirect_stdout(sys.stderr), said.status("Reading the critic"):  # what its code prints goes aside
        answer = read_checkpoint(config)
    if config.json:
        print(json.dumps(strict(answer.to_dict()), indent=2, allow_nan=False))
    else:
        show(answer, Console())
