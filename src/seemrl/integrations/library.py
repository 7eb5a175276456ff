"""Which versions of a library are known to work, and the one line for everything that does not."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from seemrl.errors import InputError

BY_HAND = "or pass critic and policy by hand: seemrl.measure(critic, batch, policy, discount=..., optimizer=...)"

TESTED = {
    "d3rlpy": ((2, 8), (2, 9)),
    "stable-baselines3": ((2, 9), (2, 10)),
    "tianshou": ((2, 0), (2, 1)),
    "torchrl": ((0, 14), (0, 15)),
    "lightning": ((2, 6), (2, 7)),
    "pytorch-lightning": ((2, 6), (2, 7)),
}
"""From the first version, up to but without the second, as the integration's tests ran with."""


def load(distribution: str, module: str) -> Any:
    """A module of a library, once its version is one that was tested.

    Raises:
        InputError: the library is not installed, or its version is outside the tested range.
    """
    try:
        found = version(distribution)
    except PackageNotFoundError:
        lowest, _ = TESTED[distribution]
        raise InputError(
            f"{distribution} is not installed; run: pip install '{distribution}=={_words(lowest)}.*', {BY_HAND}"
        ) from None
    check_version(distribution, found)
    return import_module(module)


def check_version(distribution: str, found: str) -> None:
    """Compare major and minor number.

    Raises:
        InputError: they are outside the tested range.
    """
    lowest, beyond = TESTED[distribution]
    numbers = tuple(int(part) if part.isdecimal() else -1 for part in found.split(".")[:2])
    if not lowest <= numbers < beyond:
        raise InputError(
            f"{distribution} {found} is outside the tested range, {_words(lowest)} to below {_words(beyond)}; "
            f"install '{distribution}=={_words(lowest)}.*', {BY_HAND}"
        )


def unsupported(distribution: str, found: str, supported: str) -> InputError:
    """The error for a learner, or a setting of it, whose target is not what a reading describes."""
    return InputError(f"{distribution}: {found} is not supported; {supported} are, {BY_HAND}")


def without_excitation(distribution: str, found: str, supported: str) -> InputError:
    """The error for a learner whose Q regresses on a value network of states."""
    return InputError(
        f"{distribution}: {found} bootstraps from a value network V(s'), so Q is never asked for the policy's action "
        "and the self-excitation of the theory does not exist in it; seemrl.forecast_curve reads its logged Q, "
        f"and {supported} are supported, {BY_HAND}"
    )


def attribute(distribution: str, owner: Any, path: str) -> Any:
    """A part of a learner, by the dotted names that lead to it.

    Raises:
        InputError: there is none of that name, or it is None: not built yet.
    """
    value = owner
    for name in path.split("."):
        value = getattr(value, name, None)
        if value is None:
            raise InputError(
                f"{distribution}: {type(owner).__name__} has no {path} (yet); build the learner first, {BY_HAND}"
            )
    return value


def _words(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))
