"""The options of ``seemrl forecast``; imports nothing heavy, so that the help text is fast."""

from dataclasses import dataclass

from tyro.conf import Positional


@dataclass(frozen=True)
class ForecastConfig:
    """Say where logged Q values are going: verdict, growth law, forecast of |Q|.

    Reads CSV (d3rlpy, Stable-Baselines3, W&B exports, any), JSON lines, Parquet, TensorBoard event files, and
    directories of seemrl, d3rlpy or TensorBoard.
    """

    files: Positional[tuple[str, ...]]
    """Logs: files or directories, one run each."""

    step_column: str | None = None
    """Column of the training steps; default: found by its usual names."""

    q_column: str | None = None
    """Column, or TensorBoard tag, of the mean Q value; default: found by its usual names."""

    discount: float | None = None
    """Discount of the critic; default: the run's own where it states one, else 0.99."""

    reward_bound: float | None = None
    """max|r| / (1 - discount), in units of Q: ten times it is diverged. Default: the run's own, else unknown."""

    target_rate: float | None = None
    """Rate of target averaging; 1 without it. Default: the run's own, else 0.005."""

    depth: int = 3
    """Layers with weights of the critic: self-excited growth under Adam goes like t to this power."""

    horizon: float | None = None
    """Step up to which |Q| is forecast; default: twice the last one."""

    json: bool = False
    """Print strict JSON instead of the table: one forecast for each file."""

    out: str | None = None
    """HTML file to write: curves, forecasts and reasons on one page that works offline."""

    png: str | None = None
    """PNG file to draw the curves and forecasts into; needs matplotlib."""
