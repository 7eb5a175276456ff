"""The type checker that runs under the tests."""

from collections.abc import Callable
from typing import Any

import beartype

# These read whatever a user gives them and refuse it in their own words, which are tested.
_REFUSE_IN_THEIR_OWN_WORDS = {"Batch.__init__", "Dataset.__init__", "Monitor.__init__", "stabilize"}

_check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # an int is good enough for a float


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check arguments and results of a function against its annotations."""
    return function if function.__qualname__ in _REFUSE_IN_THEIR_OWN_WORDS else _check(function)
