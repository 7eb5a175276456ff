"""A remote of Minari that is a directory, ``directory://PATH``, for processes that have this file on their path.

``broken://`` is one that nobody reaches, ``absent://`` one whose client is not installed.
"""

import json
import shutil
from pathlib import Path

from minari.storage import remotes
from minari.storage.remotes.cloud_storage import CloudStorage


class Directory(CloudStorage):  # pyright: ignore[reportUntypedBaseClass]
    def __init__(self, name, token=None):
        self.root = Path(name)

    def list_datasets(self, prefix=None):
        for path in self.root.rglob("data/metadata.json"):
            name = path.parent.parent.relative_to(self.root).as_posix()
            if name.startswith(prefix or ""):
                yield name

    def get_dataset_metadata(self, dataset_id):
        return json.loads((self.root / dataset_id / "data/metadata.json").read_text())

    def download_dataset(self, dataset_id, path):
        shutil.copytree(self.root / dataset_id, path / dataset_id)
        if (self.root / "cut").exists():
            raise ConnectionError("the line went dead\nin the middle")

    def list_namespaces(self):
        return [path.parent.relative_to(self.root).as_posix() for path in self.root.rglob("namespace_metadata.json")]

    def download_namespace_metadata(self, namespace, path):
        shutil.copy(self.root / namespace / "namespace_metadata.json", path / namespace)

    def upload_dataset(self, dataset_id): ...
    def upload_namespace(self, namespace): ...


def absent():
    raise ImportError("its client is not installed")


def broken():
    raise ConnectionError("[Errno -2] Name or service not known")


remotes._registry.update({"directory": lambda: Directory, "absent": absent, "broken": broken})
