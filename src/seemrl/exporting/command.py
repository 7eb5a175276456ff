"""The command behind ``seemrl export``; imports nothing heavy until it runs."""

import sys
from pathlib import Path

from seemrl.exporting.config import ExportConfig
from seemrl.training.backend import prepare_jax


def run_export(config: ExportConfig) -> Path:
    """Export a policy and print a line about each file on stdout, then the directory.

    Raises:
        InputError: anything the user gave does not fit; nothing has been written then.
        MissingPartError: the training extra, or a library that a format needs, is not installed.
    """
    config.check()
    prepare_jax()
    from seemrl.exporting.export import export_policy

    written = export_policy(config)
    told = written.told
    step, steps = told["checkpoint"]["step"], told["run"]["config"]["steps"]
    if step < steps and config.checkpoint == "last":
        print(f"{config.run}: not trained to its end; its newest checkpoint is of step {step:,}", file=sys.stderr)
    for name, file in told["files"].items():
        print(
            f"{written.directory / name}: {file['bytes']:,} bytes, largest difference from the policy "
            f"{file['largest_difference']:.1e} over {file['observations']} observations"
        )
    print(written.directory)
    return written.directory
