"""The command line: one verb a line, nothing heavy imported before a verb is chosen."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from seemrl.data.refusals import one_line
from seemrl.errors import InputError

Config = TypeVar("Config")

_RULE = re.compile(r"^[ │╭╰]*(?:─ .* )?[-─]+[ │╮╯]*$", re.MULTILINE)


@dataclass(frozen=True)
class Verb:
    """One verb: what it says of itself, and what runs it with the arguments behind it."""

    summary: str
    run: Callable[[Sequence[str]], object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``seemrl``; returns the exit code: 0 done, 2 bad input (one line on stderr), 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return _dispatch(arguments)
        finally:
            sys.stdout.flush()  # a pipe that nobody reads is found out here, not when the interpreter exits
    except InputError as error:
        print(f"seemrl: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has seen enough; what is left goes nowhere
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 0
    except KeyboardInterrupt:
        print("seemrl: interrupted; what was written stays, `seemrl train --resume` continues a run", file=sys.stderr)
        return 130


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"seemrl {version('seemrl')}")
        return 0
    grouped = arguments[0] in _GROUPS
    name = " ".join(arguments[:2]) if grouped else arguments[0]
    if grouped and (len(arguments) == 1 or arguments[1] in ("-h", "--help")):
        print(_help(f"{arguments[0]} "))
        return 0
    if name not in VERBS:
        raise InputError(f"unknown command '{name}'; the commands are {', '.join(VERBS)}")
    VERBS[name].run(arguments[len(name.split()) :])
    return 0


def _help(start: str = "") -> str:
    lines = [f"  seemrl {name:<21}{verb.summary}" for name, verb in VERBS.items() if name.startswith(start)]
    return "\n".join(
        [
            "usage: seemrl COMMAND [OPTIONS]",
            "",
            "Will these Q-values blow up? Train offline agents, foresee divergence, cure it.",
            "",
            *lines,
            "",
            "seemrl COMMAND --help lists its options. Exit codes: 0 done, 2 bad input.",
        ]
    )


def _parse(config: Callable[..., Config], name: str, arguments: Sequence[str], default: Config | None = None) -> Config:
    """Options into a config; a mistake becomes one line instead of tyro's box."""
    import tyro

    said = io.StringIO()
    more: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(config, prog=f"seemrl {name}", args=arguments, **more)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise InputError(f"{_essence(said.getvalue())}; see: seemrl {name} --help") from error


def _essence(box: str) -> str:
    """The sentence inside tyro's box, drawn with lines or, where the terminal has no such characters, with hyphens."""
    parts = _RULE.split(box)  # before or in the first rule stands the title
    sentence = parts[1] if len(parts) > 1 else box
    return " ".join(sentence.replace("│", " ").split()).rstrip(".")


def _demo(arguments: Sequence[str]) -> None:
    from seemrl.experiments.demo import DemoConfig, run_demo

    run_demo(_parse(DemoConfig, "demo", arguments))


def _train(arguments: Sequence[str]) -> None:
    from seemrl.agents.config import TD3BCConfig
    from seemrl.training.command import default_settings, run_train
    from seemrl.training.config import TrainConfig

    defaults = default_settings(arguments, TrainConfig, TD3BCConfig)
    run_train(_parse(TrainConfig[type(defaults.hyperparameters)], "train", arguments, defaults))


def _online(arguments: Sequence[str]) -> None:
    from seemrl.agents.sac_config import SACConfig
    from seemrl.training.command import default_settings
    from seemrl.training.online_command import run_online
    from seemrl.training.online_config import OnlineConfig

    defaults = default_settings(arguments, OnlineConfig, SACConfig)
    run_online(_parse(OnlineConfig[type(defaults.hyperparameters)], "online", arguments, defaults))


def _export(arguments: Sequence[str]) -> None:
    from seemrl.exporting.command import run_export
    from seemrl.exporting.config import ExportConfig

    run_export(_parse(ExportConfig, "export", arguments))


def _report(arguments: Sequence[str]) -> None:
    from seemrl.report.command import ReportConfig, run_report

    run_report(_parse(ReportConfig, "report", arguments))


def _measure(arguments: Sequence[str]) -> None:
    from seemrl.measuring.command import run_measure
    from seemrl.measuring.config import MeasureConfig

    run_measure(_parse(MeasureConfig, "measure", arguments))


def _collect(arguments: Sequence[str]) -> None:
    from seemrl.collecting.command import CollectConfig, run_collect

    if arguments and not arguments[0].startswith("-"):
        arguments = ["--environment", *arguments]
    run_collect(_parse(CollectConfig, "data collect", arguments))


def _contrast(arguments: Sequence[str]) -> None:
    from seemrl.experiments.contrast import ContrastConfig, run_contrast

    run_contrast(_parse(ContrastConfig, "reproduce contrast", arguments))


def _x_percent(arguments: Sequence[str]) -> None:
    from seemrl.experiments.x_percent import XPercentConfig, run_x_percent

    run_x_percent(_parse(XPercentConfig, "reproduce x-percent", arguments))


def _agents(arguments: Sequence[str]) -> None:
    from seemrl.experiments.agents import AgentsConfig, run_agents

    run_agents(_parse(AgentsConfig, "reproduce agents", arguments))


def _forecast(arguments: Sequence[str]) -> None:
    from seemrl.logs.config import ForecastConfig

    config = _parse(ForecastConfig, "forecast", arguments)
    from seemrl.logs.command import run_forecast

    run_forecast(config)


def _info(arguments: Sequence[str]) -> None:
    from seemrl.inspection.command import InfoConfig, run_info

    run_info(_parse(InfoConfig, "data info", arguments))


def _map(arguments: Sequence[str]) -> None:
    from seemrl.inspection.mapping import MapConfig, run_map

    run_map(_parse(MapConfig, "data map", arguments))


def _watch(arguments: Sequence[str]) -> None:
    from seemrl.watching.command import run_watch
    from seemrl.watching.config import WatchConfig

    run_watch(_parse(WatchConfig, "watch", arguments))


VERBS = {
    "demo": Verb("watch a run diverge, its forecast and its cure, in about 80 seconds", _demo),
    "train": Verb("train an offline agent on a file of transitions, with readings and forecasts", _train),
    "online": Verb("train SAC, EDAC, MSG or TD3 in an environment, on what it collects itself", _online),
    "export": Verb("write the policy of a run as weights, StableHLO and ONNX, each compared with it", _export),
    "report": Verb("write one HTML page about one or several runs", _report),
    "data info": Verb("tell what a data set holds, and what in it makes critics diverge", _info),
    "data map": Verb("bring data larger than memory to the disk as arrays to train on", _map),
    "data collect": Verb("collect transitions in a Gymnasium environment", _collect),
    "measure": Verb("read a saved PyTorch critic: does it feed itself, and how fast?", _measure),
    "forecast": Verb("say where logged Q values are going: CSV, JSON lines, TensorBoard, Parquet", _forecast),
    "watch": Verb("show a run or a monitor's log while it grows: verdict, |Q|, SEEM, forecast", _watch),
    "reproduce contrast": Verb("TD3 with and without LayerNorm: who diverges?", _contrast),
    "reproduce agents": Verb("every agent on the same data: does it reach the behaviour?", _agents),
    "reproduce x-percent": Verb("agents on parts of the data: what does LayerNorm bring?", _x_percent),
}
_GROUPS = {name.split()[0] for name in VERBS if " " in name}
