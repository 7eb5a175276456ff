"""Fetching a data set of Minari into its local store, with the ``minari`` package where that is installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from seemrl.data.minari import METADATA, stored_directory
from seemrl.data.refusals import refusal, shortened
from seemrl.errors import MissingPartError, reason

_ID = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*-v\d+", re.ASCII)
_ERROR = "error.txt"


def is_minari_id(name: str) -> bool:
    """Whether this reads like the id of a data set of Minari: ``door-human-v2``, ``D4RL/door/human-v2``."""
    return _ID.fullmatch(name) is not None


def download_minari(name: str) -> None:
    """Fetch a data set, and those it is made of, into Minari's local store, where each appears complete or not at all.

    Minari works in a process of its own, which tells on stderr how far it is; where from is its business
    (``MINARI_REMOTE``).

    Args:
        name: its id.

    Raises:
        InputError: there is no such set, no network, or the store cannot be written; one line that says which.
        MissingPartError: ``minari`` is not installed, or what it needs to download.
    """
    if find_spec("minari") is None:
        raise MissingPartError("minari", "minari", f"{name}: not in Minari's local store, and downloading it")
    store = stored_directory("")
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".downloading-", dir=store) as scratch:
            _fetch(name, Path(scratch))
            _move(Path(scratch), store)
    except OSError as error:
        raise refusal(store, f"cannot be written ({reason(error)}); set MINARI_DATASETS_PATH") from error


def _fetch(name: str, scratch: Path) -> None:
    print(f"{name}: not in Minari's local store; downloading it with minari", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-m", __name__, name],
        env={**os.environ, "MINARI_DATASETS_PATH": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=2,  # ours is for results
        check=False,
    )
    if done.returncode == 0 and (scratch / name / "data" / METADATA).is_file():
        return
    told = scratch / _ERROR
    why = told.read_text(encoding="utf-8") if told.is_file() else f"minari ended with exit code {done.returncode}"
    if why.startswith(("ImportError", "ModuleNotFoundError")):
        raise MissingPartError("a part of minari", "minari", f"{name}: not in Minari's local store, and downloading it")
    remedy = "check the id and the network" if done.returncode else "check the id"
    raise refusal(
        name, f"no such file, not in Minari's local store, and not downloaded ({shortened(why)}); {remedy}, or the path"
    )


def _move(scratch: Path, store: Path) -> None:
    """What was fetched to its place in the store; what is there already stays."""
    found = [path.parent.parent for path in scratch.rglob(f"data/{METADATA}")]
    for place in (*found, *scratch.rglob("namespace_metadata.json")):
        target = store / place.relative_to(scratch)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(place, target)


def _main() -> None:
    """In the process of its own: the store is a scratch directory there."""
    try:
        from minari import download_dataset

        download_dataset(sys.argv[1])
    except Exception as error:  # whatever a remote's client raises is told in one line by the process that waits
        (stored_directory("") / _ERROR).write_text(reason(error), encoding="utf-8")
        sys.exit(1)


if __name__ == "__main__":
    _main()
