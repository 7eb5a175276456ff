"""Fewer significant bits, so that recorded floats compress better."""

import numpy as np
from numpy.typing import NDArray

MANTISSA_BITS = 23
"""Explicit mantissa bits of float32."""


def round_mantissa(array: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round to the nearest float32 with ``bits`` explicit mantissa bits, ties to even.

    The relative error is at most ``2**-(bits + 1)`` for normal numbers. NaN and the infinities stay; a number within
    half a step of float32's largest becomes infinite, as in any IEEE rounding.

    Args:
        array: Any shape, float32.
        bits: Explicit mantissa bits kept, 0 to 23.

    Returns:
        A new array of the same shape.

    Raises:
        ValueError: Bits outside 0 to 23.
    """
    if not 0 <= bits <= MANTISSA_BITS:
        raise ValueError(f"bits must be 0 to {MANTISSA_BITS}, not {bits}")
    dropped = np.uint32(MANTISSA_BITS - bits)
    if dropped == 0:
        return array.copy()
    pattern = array.view(np.uint32)  # sign, exponent, mantissa: rounding the integer carries into the exponent
    one = np.uint32(1)
    last_kept = (pattern >> dropped) & one
    rounded = (pattern + (one << (dropped - one)) - one + last_kept) >> dropped << dropped
    return np.where(np.isfinite(array), rounded.view(np.float32), array)
