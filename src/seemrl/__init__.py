"""Tell whether a value function is about to blow up, when and why, and train offline agents whose values do not.

Nothing heavy is imported until it is used: neither JAX nor torch is loaded before a critic of that kind is measured.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seemrl.data.d4rl import load_d4rl
    from seemrl.data.dataset import Dataset
    from seemrl.data.loading import load
    from seemrl.errors import InputError, MissingPartError
    from seemrl.instrument.batch import Batch
    from seemrl.instrument.forecast import (
        Forecast,
        Remedy,
        Sign,
        advise,
        forecast,
        forecast_curve,
        signs_of_a_bug,
    )
    from seemrl.instrument.measure import measure
    from seemrl.instrument.reading import Reading
    from seemrl.monitoring.errors import DivergingError
    from seemrl.monitoring.monitor import Monitor
    from seemrl.stabilizing.stabilize import stabilize, unstabilize

__all__ = [
    "Batch",
    "Dataset",
    "DivergingError",
    "Forecast",
    "InputError",
    "MissingPartError",
    "Monitor",
    "Reading",
    "Remedy",
    "Sign",
    "advise",
    "forecast",
    "forecast_curve",
    "load",
    "load_d4rl",
    "measure",
    "signs_of_a_bug",
    "stabilize",
    "unstabilize",
]

_HOMES = {
    "Batch": "seemrl.instrument.batch",
    "Dataset": "seemrl.data.dataset",
    "DivergingError": "seemrl.monitoring.errors",
    "Forecast": "seemrl.instrument.forecast.outlook",
    "InputError": "seemrl.errors",
    "MissingPartError": "seemrl.errors",
    "Monitor": "seemrl.monitoring.monitor",
    "Reading": "seemrl.instrument.reading",
    "Remedy": "seemrl.instrument.forecast.remedy",
    "Sign": "seemrl.instrument.forecast.signs",
    "advise": "seemrl.instrument.forecast.remedies",
    "forecast": "seemrl.instrument.forecast.outlook",
    "forecast_curve": "seemrl.instrument.forecast.curve",
    "load": "seemrl.data.loading",
    "load_d4rl": "seemrl.data.d4rl",
    "measure": "seemrl.instrument.measure",
    "signs_of_a_bug": "seemrl.instrument.forecast.signs",
    "stabilize": "seemrl.stabilizing.stabilize",
    "unstabilize": "seemrl.stabilizing.stabilize",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("seemrl")
    if name not in _HOMES:
        raise AttributeError(f"module 'seemrl' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
