"""An exported policy in a process that has no JAX: python without_jax.py EXPORT CASES, a line a format.

CASES is an npz file of inputs by their names, and of the outputs wanted as `wanted0`, `wanted1`.
"""

import sys
from pathlib import Path

sys.modules["jax"] = None  # type: ignore[assignment]  # importing it fails

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

from seemrl.exporting.rebuilt import Rebuilt  # noqa: E402


def main(directory: Path, cases: Path) -> None:
    given = dict(np.load(cases))
    wanted = [given.pop(name) for name in sorted(given) if name.startswith("wanted")]
    session = onnxruntime.InferenceSession(directory / "policy.onnx", providers=["CPUExecutionProvider"])
    found = {
        "onnx": session.run([output.name for output in session.get_outputs()], given),
        "safetensors": Rebuilt.load(directory)(*given.values()),
    }
    for name, outputs in found.items():
        differences = [np.abs(a - b).max() / max(1, np.abs(b).max()) for a, b in zip(outputs, wanted, strict=True)]
        print(directory.parent.name, name, *differences)


if __name__ == "__main__":
    for export, cases in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        main(Path(export), Path(cases))
