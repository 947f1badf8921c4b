"""The keys of an export in the lake, from the key of its manifest. It needs no Arrow."""

import re
from dataclasses import dataclass
from typing import Self

_MANIFEST_KEY = re.compile(r"exports/(account_id=([^/]+)/module=([^/]+))/export_id=([^/]+)/manifest\.json")


@dataclass(frozen=True)
class Place:
    """Where an export is, and where its files in the lake are."""

    source: str
    module_folder: str
    account: str
    module: str
    export_id: str

    @classmethod
    def of(cls, manifest_key: str) -> Self | None:
        """Return the place of the export with this manifest, or None if the key is not that of a manifest."""
        match = _MANIFEST_KEY.fullmatch(manifest_key)
        return match and cls(manifest_key, match[1], match[2], match[3], match[4])

    @property
    def folder(self) -> str:
        """The folder of the export's files in the lake."""
        return f"lake/{self.module_folder}/export_id={self.export_id}"

    @property
    def manifest_key(self) -> str:
        """The key of the lake's manifest."""
        return f"{self.folder}/manifest.json"

    @property
    def symlink_key(self) -> str:
        """The key of the manifest of the module's table."""
        return f"lake/_symlink/{self.module_folder}/manifest"

    @property
    def changes_key(self) -> str:
        """The key of the manifest of the table of changes since the last full export."""
        return f"lake/_symlink_changes/{self.module_folder}/manifest"

    def progress_key(self, file: str) -> str:
        """Return the key of what is kept about a finished file until the manifest is written."""
        return f"lake/_progress/{self.module_folder}/export_id={self.export_id}/{file}.json"
