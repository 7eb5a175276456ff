"""How large the arrays of a file may claim to be."""

from collections.abc import Mapping
from pathlib import Path

from seemrl.data.refusals import refusal

ALWAYS_ALLOWED_BYTES = 2**30
ALLOWED_EXPANSION = 64
"""Arrays may declare 1 GiB together, or 64 times the file's size if that is more.

Float observations compress about 1.1 to 10 times, constant flags about 1000 times but they are one byte in dozens, so
honest files stay far below; a file that declares more would fill the memory with values that are not in it.
"""


def check_size(path: Path, declared: Mapping[str, tuple[tuple[int, ...], int]], size: int | None = None) -> None:
    """Refuse arrays too large to be in the file, before any memory is taken.

    Args:
        path: The file.
        declared: Shape and bytes that it states, by key.
        size: Bytes on the disk, where they are more than those of the file.

    Raises:
        InputError: They declare too many bytes; names the largest.
    """
    size = path.stat().st_size if size is None else size
    if sum(bytes_ for _, bytes_ in declared.values()) > max(ALWAYS_ALLOWED_BYTES, ALLOWED_EXPANSION * size):
        largest = max(declared, key=lambda key: declared[key][1])
        shape, bytes_ = declared[largest]
        raise refusal(
            path,
            f"{largest}: declares shape {shape}, {bytes_} bytes, in a file of {size} bytes; "
            "the file is damaged or its arrays were never written",
        )
