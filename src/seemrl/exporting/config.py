"""The options of ``seemrl export``; imports nothing heavy, so that the help text is fast."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from seemrl.errors import InputError, require_option

FORMATS = ("safetensors", "stablehlo", "onnx")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write the policy of a run as it is evaluated: weights with their recipe, StableHLO, ONNX.

    Every file is loaded back and compared with the policy on observations of the run before it is kept.
    """

    run: tyro.conf.Positional[str]
    """Run directory of `seemrl train` or `seemrl online`."""

    out: str = ""
    """Directory to write; default: export, inside the run directory."""

    format: str = ",".join(FORMATS)
    """Files to write, separated by commas; policy.json, which tells all that they need, always comes with them."""

    checkpoint: Literal["last", "best"] = "last"
    """The newest checkpoint, or that of the evaluation with the highest mean return."""

    data: str = ""
    """Where the transitions lie that the run was trained on; default: where they lay then."""

    tolerance: float = 1e-4
    """Largest difference from the policy that is accepted, in half-widths of the action box."""

    overwrite: bool = False
    """Replace what an earlier export left in --out."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats asked for, each once, in the order of `FORMATS`.

        Raises:
            InputError: there is none, or one is unknown.
        """
        named = [name.strip() for name in self.format.split(",")]
        for name in named:
            if name not in FORMATS:
                raise InputError(f"--format {self.format}: '{name}' is none of {', '.join(FORMATS)}")
        return tuple(name for name in FORMATS if name in named)

    @property
    def place(self) -> Path:
        """The directory to write."""
        return Path(self.out) if self.out else Path(self.run) / "export"

    def check(self) -> None:
        """Refuse options that fit nothing, and a directory that may not be written.

        Raises:
            InputError: names the option and what to do.
        """
        require_option(0 < self.tolerance < math.inf, "tolerance", self.tolerance, "finite and above 0")
        assert self.formats
        place = self.place
        if not place.exists() and not place.is_symlink():
            return
        if not self.overwrite:
            raise InputError(f"{place}: exists already; choose another --out, or replace it with --overwrite")
        if place.is_symlink() or not place.is_dir() or not (place / "policy.json").is_file():
            raise InputError(f"{place}: no earlier export, so --overwrite leaves it; choose another --out")
