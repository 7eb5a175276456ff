"""Writing a data set in a format that others read."""

from pathlib import Path

from seemrl.data.d4rl import save_d4rl
from seemrl.data.dataset import Dataset, SaveFormat
from seemrl.data.minari_writing import save_minari
from seemrl.data.refusals import refusal


def save(dataset: Dataset, path: str | Path, format: SaveFormat | None = None) -> None:
    """Write a data set; see `Dataset.save`."""
    path = Path(path)
    if format is None and path.suffix.lower() not in (".hdf5", ".h5"):
        raise refusal(path, 'the name tells no format; end it in .hdf5 or .h5, or say format="minari"')
    if format == "minari":
        save_minari(dataset, path)
    else:
        save_d4rl(dataset, path)
