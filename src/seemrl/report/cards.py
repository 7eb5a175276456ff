"""The verdict cards and the reasons: each run in words, everything that comes from files escaped."""

import math
from collections.abc import Sequence
from html import escape

from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.report.palette import VERDICT_COLOURS, VERDICT_INKS, VERDICT_MARKS, number, run_colour, step_text
from seemrl.report.runs import Row, RunRecord
from seemrl.report.summary import RunSummary, has_bound, interval_holds, summarize


def verdict_cards(runs: Sequence[RunRecord]) -> str:
    """One card a run."""
    return f'<section class="cards" aria-label="Verdicts">{"".join(_card(*item) for item in enumerate(runs))}</section>'


def reasons_panel(runs: Sequence[RunRecord]) -> str:
    """Why the verdict was given: the reasons of the first alarm, or of the last forecast, of each run."""
    parts = [_reasons(index, run) for index, run in enumerate(runs)]
    return f'<section class="panel reasons"><h2>Reasons</h2>{"".join(parts)}</section>'


def badge(verdict: str | None) -> str:
    """A verdict as a coloured word with its mark."""
    if verdict is None:
        return '<span class="badge none">no reading yet</span>'
    style = f"background:{VERDICT_COLOURS[verdict]};color:{VERDICT_INKS[verdict]}"
    return f'<span class="badge" style="{style}">{VERDICT_MARKS[verdict]} {verdict}</span>'


def swatch(index: int) -> str:
    """A small square in the colour of a run."""
    return f'<span class="swatch" style="background:{run_colour(index)}"></span>'


def _card(index: int, run: RunRecord) -> str:
    summary = summarize(run)
    facts = [
        ("Alarm", _alarm_fact(summary, run.reward_bound)),
        ("Forecast crash", _forecast_fact(summary)),
        ("Last word before the bound", _last_word_fact(summary)),
        ("Outcome", _outcome_fact(run, summary)),
        ("Growth law", _law_fact(summary)),
        ("Final |Q|", _final_fact(run, summary)),
        ("Evaluation", _evaluation_fact(summary.evaluation)),
    ]
    rows = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts if text)
    return (
        f'<article class="card" style="--run:{run_colour(index)}"><div class="card-head">'
        f'<h2 class="label">{escape(run.label)}</h2>{badge(summary.verdict)}</div>'
        f'<p class="soft">{_progress(run, summary)}</p><dl class="facts">{rows}</dl></article>'
    )


def _progress(run: RunRecord, summary: RunSummary) -> str:
    others = "a monitor's log" if run.config.get("written_by") == "seemrl.Monitor" else "run"
    agent = escape(str(run.config.get("agent") or others), quote=False)
    if summary.last_step is None:
        return f"{agent}, just begun"
    done = f"{agent}, {step_text(summary.last_step)} steps"
    if summary.planned_steps is not None and summary.last_step < summary.planned_steps:
        return f"{done} of {step_text(summary.planned_steps)}"
    return done


def _alarm_fact(summary: RunSummary, reward_bound: float) -> str:
    if summary.verdict is None:
        return ""
    if summary.alarm is None:
        return "never called <em>diverging</em>"
    alarm = summary.alarm
    verdict, q_mean = alarm["forecast"]["verdict"], alarm["q_mean"]
    when = f"first called <em>{verdict}</em> at <strong>step {step_text(alarm['step'])}</strong>"
    if verdict == "diverged":
        when = f"no warning: {when}"
    return f"{when}, mean |Q| {_against_bound(q_mean, reward_bound)}"


def _against_bound(q_mean: float | None, reward_bound: float) -> str:
    text = number(q_mean)
    if q_mean is None or not math.isfinite(q_mean) or not has_bound(reward_bound):
        return text
    return f"{text}, {number(q_mean / reward_bound)} × the reward bound ({number(reward_bound)})"


def _forecast_fact(summary: RunSummary) -> str:
    """The crash forecast made at the first alarm; without an alarm, the last one, when it names a crash at all."""
    forecast = summary.explained
    if forecast is None:
        return ""
    step, interval = forecast["crash_step"], forecast["crash_interval"]
    if step is None and interval is None:
        return "none made" if summary.alarm else ""
    made = "" if summary.alarm else f" (made at step {step_text(forecast['step'])})"
    text = (
        "less likely than not"
        if step is None or not math.isfinite(step)
        else f"<strong>step {step_text(step)}</strong>"
    )
    return f"{text}{made} {_interval_text(interval)}"


def _interval_text(interval: Sequence[float] | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    words = (
        f"{step_text(low)} to {step_text(high)}" if math.isfinite(high) else f"from {step_text(low)} on, perhaps never"
    )
    return f'<span class="aside">(90% interval {words})</span>'


def _outcome_fact(run: RunRecord, summary: RunSummary) -> str:
    if not run.readings:
        return ""
    crash = summary.crash
    if crash is None:
        beyond = (
            f"passing {DIVERGED_FACTOR:.0f} × the bound" if has_bound(run.reward_bound) else "loss of finite values"
        )
        return f"{beyond} did not happen in {step_text(run.readings[-1]['step'])} steps"
    what = f"|Q| passed {DIVERGED_FACTOR:.0f} × the bound" if crash.finite else "|Q| was no longer finite"
    text = f"{what} by <strong>step {step_text(crash.step)}</strong>"
    asides = [] if crash.after is None else [f"not yet at the reading of step {step_text(crash.after)}"]
    alarm = summary.alarm
    if alarm is not None and alarm["step"] < crash.step:
        asides.append(f"{step_text(crash.step - alarm['step'])} steps after the alarm")
    told = {"the alarm's": alarm["forecast"] if alarm else None, "the last word's": summary.last_word}
    for whose, forecast in told.items():
        if forecast is not None and forecast["step"] < crash.step and forecast["crash_interval"] is not None:
            where = "inside" if interval_holds(forecast["crash_interval"], crash) else "outside"
            asides.append(f"{where} {whose} interval")
    return f'{text} <span class="aside">({", ".join(asides)})</span>' if asides else text


def _last_word_fact(summary: RunSummary) -> str:
    forecast = summary.last_word
    if forecast is None:
        return ""
    step, interval = forecast["crash_step"], forecast["crash_interval"]
    when = f"forecast at step {step_text(forecast['step'])}"
    return f"<strong>step {step_text(step)}</strong> {_interval_text(interval)} {when}"


def _law_fact(summary: RunSummary) -> str:
    forecast = summary.last_word or summary.explained
    return "" if forecast is None else escape(forecast["law_text"] or str(forecast["law"]))


def _final_fact(run: RunRecord, summary: RunSummary) -> str:
    if summary.final_q is None or math.isfinite(summary.final_q):
        return number(summary.final_q) if run.readings else ""
    finite = [row for row in run.readings if row["q_mean"] is not None and math.isfinite(row["q_mean"])]
    if not finite:
        return "not finite"
    return f"not finite; {number(finite[-1]['q_mean'])} at step {step_text(finite[-1]['step'])}, the last finite one"


def _evaluation_fact(row: Row | None) -> str:
    if row is None:
        return ""
    spread = "" if row["return_std"] is None else f" ± {number(row['return_std'])}"
    returns = f"return {number(row['return_mean'])}{spread}"
    where = f'<span class="aside">at step {step_text(row["step"])}</span>'
    if row["score_mean"] is None:
        return f"{returns} {where}"
    return f"normalised score <strong>{number(row['score_mean'])}</strong>, {returns} {where}"


def _reasons(index: int, run: RunRecord) -> str:
    head = f'<h3>{swatch(index)}<span class="label">{escape(run.label)}</span>'
    forecast = summarize(run).explained
    if forecast is None:
        return f'{head}</h3><p class="soft">No reading yet.</p>'
    items = "".join(f"<li>{escape(reason)}</li>" for reason in forecast["reasons"])
    listed = f"<ul>{items}</ul>" if items else '<p class="soft">The forecast gives no reasons.</p>'
    when = f'<span class="soft">at step {step_text(forecast["step"])}</span>'
    return f"{head} {badge(forecast['verdict'])} {when}</h3>{listed}"
