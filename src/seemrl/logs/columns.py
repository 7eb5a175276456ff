"""Which column of a log holds the steps and which the Q values, by the names that trainers give them."""

import re
from collections.abc import Iterable, Sequence

from seemrl.errors import InputError

STEP_NAMES = (
    "step",
    "steps",
    "global_step",
    "train_step",
    "training_step",
    "total_steps",
    "num_steps",
    "gradient_steps",
    "gradient_step",
    "grad_steps",
    "updates",
    "update",
    "n_updates",
    "num_updates",
    "total_timesteps",
    "timesteps",
    "num_timesteps",
    "env_step",
    "env_steps",
    "iteration",
    "iterations",
    "itr",
    "iter",
    "epoch",
)
"""Names of the step column; the first of them that a log has is taken."""

Q_NAMES = (
    "q_mean",
    "mean_q",
    "q_values_mean",
    "q_value_mean",
    "mean_q_value",
    "mean_q_values",
    "avg_q",
    "average_q",
    "average_q_value",
    "averageqvals",
    "q_avg",
    "qf_mean",
    "qs_mean",
    "q",
    "qs",
    "q_value",
    "q_values",
    "qvals",
    "q_pred",
    "q_predictions_mean",
    "average_value_estimation",
    "average_value",
    "value_scale",
    "q1_mean",
    "q1",
    "q1_value",
    "q1_values",
    "q1_pred",
    "qf1",
    "qf1_mean",
    "qf1_value",
    "qf1_values",
    "q1_predictions_mean",
    "qf1_predictions_mean",
    "averageq1vals",
    "averagevvals",
)
"""Names of the Q column, in the same sense: the mean of all heads before the first head."""

_MOST_SHOWN = 12


def find_column(columns: Iterable[str], names: Sequence[str], what: str, option: str) -> str:
    """The column with the first of these names that the log has.

    Case and punctuation are ignored, and so is what stands before the last ``/`` or before the `` - `` that joins a
    run's name to a metric's. A column that is called so outright goes before those of a group: ``step`` before
    ``forecast/step``.

    Args:
        columns: of the log.
        names: usual ones, the best first.
        what: the column is called in a refusal.
        option: that names the column instead.

    Raises:
        InputError: no column has such a name, or several have the same.
    """
    columns = list(columns)
    short = {column: _short(column) for column in columns}
    for name in names:
        found = [column for column in columns if short[column] == name]
        outright = [column for column in found if _plain(column) == name]
        if len(outright) == 1:
            return outright[0]
        if len(found) > 1:
            raise InputError(f"several columns may be {what}: {shown(found)}; choose one with {option}")
        if found:
            return found[0]
    raise InputError(f"no column is known as {what}; name one with {option}; there are {shown(columns)}")


def named_column(columns: Iterable[str], name: str, option: str) -> str:
    """The column that the user named.

    Raises:
        InputError: there is none of this name.
    """
    columns = list(columns)
    if name not in columns:
        raise InputError(f"{option} {name}: there is no such column; there are {shown(columns)}")
    return name


def shown(columns: Sequence[str]) -> str:
    """Column names for a message."""
    named = ", ".join(columns[:_MOST_SHOWN]) or "no columns"
    more = len(columns) - _MOST_SHOWN
    return f"{named} and {more} more" if more > 0 else named


def _short(column: str) -> str:
    metric = column.rsplit(" - ", 1)[-1]
    return _plain(metric.rsplit("/", 1)[-1])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9/]+", "_", name.lower()).strip("_")
