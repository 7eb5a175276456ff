"""The command behind ``seemrl data map``; imports nothing heavy until it runs."""

from dataclasses import dataclass

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """Bring data larger than memory into a form that `seemrl train --window-rows` trains on, with little memory."""

    data: Positional[str]
    """HDF5 file in D4RL's layout. Smaller files of any other format are read whole."""
    out: str
    """Directory to make."""


def run_map(config: MapConfig) -> None:
    """Write the directory and print where it is.

    Raises:
        InputError: the file cannot be used, or the directory exists or cannot be written; nothing is left of it then.
        MissingPartError: the format needs pyarrow, which is not installed.
    """
    from pathlib import Path

    from rich.console import Console

    from seemrl.data.loading import is_d4rl, load
    from seemrl.data.mapped import map_d4rl, save_mapped

    with Console(stderr=True).status("Bringing the arrays to the disk"):
        if is_d4rl(Path(config.data)):
            rows = len(map_d4rl(config.data, config.out))
        else:
            found = load(config.data)
            save_mapped(found, config.out)
            rows = len(found)
    print(f"{config.out}: {rows:,} transitions")
