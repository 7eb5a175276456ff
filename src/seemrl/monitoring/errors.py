"""What `on_diverging="stop"` raises."""

from seemrl.instrument.forecast.outlook import Forecast


class DivergingError(RuntimeError):
    """Training was stopped because the critic's values are about to blow up, or have.

    Attributes:
        forecast: from all readings up to the alarm: verdict, growth law, crash step and reasons.
    """

    def __init__(self, forecast: Forecast) -> None:
        reason = forecast.reasons[0] if forecast.reasons else forecast.law_text
        super().__init__(f"the critic is {forecast.verdict} at step {forecast.step}: {reason}")
        self.forecast = forecast
