"""From readings to a verdict, a growth law and a crash step."""

from seemrl.instrument.forecast.curve import forecast_curve
from seemrl.instrument.forecast.outlook import Curve, Forecast, forecast
from seemrl.instrument.forecast.verdict import Verdict

__all__ = ["Curve", "Forecast", "Verdict", "forecast", "forecast_curve"]
