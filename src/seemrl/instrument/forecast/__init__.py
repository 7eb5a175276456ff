"""From readings to a verdict, a growth law, a crash step, and what would end it."""

from seemrl.instrument.forecast.curve import forecast_curve
from seemrl.instrument.forecast.outlook import Curve, Forecast, forecast
from seemrl.instrument.forecast.remedies import advise
from seemrl.instrument.forecast.remedy import Remedy
from seemrl.instrument.forecast.signs import Sign, signs_of_a_bug
from seemrl.instrument.forecast.verdict import Verdict

__all__ = [
    "Curve",
    "Forecast",
    "Remedy",
    "Sign",
    "Verdict",
    "advise",
    "forecast",
    "forecast_curve",
    "signs_of_a_bug",
]
