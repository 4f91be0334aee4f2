"""The tenant's folders, and the processes in them with their releases and API triggers.

The tenant is open: every folder and every process that somebody names exists, except the names in
`Settings.unknown_slugs`. Ids and keys follow from the names alone, so that another run of the simulator, and a test
that knows the names, comes to the same ones. A path segment that is a GUID is its folder's key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.simulator.settings import Settings

_NAMESPACE = uuid.UUID("6f1b3c52-9d0e-5c8a-a6f4-0d5b1c7e2f93")

FOLDER_ID = "X-UIPATH-OrganizationUnitId"
FOLDER_KEY = "X-UIPATH-FolderKey"
FOLDER_PATH = "X-UIPATH-FolderPath"
FOLDER_PATH_ENCODED = "X-UIPATH-FolderPath-Encoded"
"""The fields that select a folder; the last is base64 of UTF-16LE, for names that a header cannot hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """A folder: its integer id, its key (a GUID) and its fully qualified name."""

    id: int
    key: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Process:
    """A process in a folder, which is its release, and the API trigger (`slug`) that starts it, of one name."""

    folder: Folder
    name: str
    trigger_id: str
    release_id: int
    release_key: str


class UnknownFolderError(Exception):
    """No folder was selected, or one that there is none of; the text is Orchestrator's, `code` its error code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Catalog:
    """Every folder and process that the settings or somebody's call has named."""

    def __init__(self, settings: Settings) -> None:
        self._unknown = settings.unknown_slugs
        self._folders: dict[str, Folder] = {}
        self._processes: dict[tuple[str, str], Process] = {}
        self._slugs = tuple(settings.triggers or ())
        for name in settings.folders:
            self.folder(name)

    @property
    def folders(self) -> Iterable[Folder]:
        """The folders that have been named."""
        return self._folders.values()

    @property
    def first_folder(self) -> Folder:
        """The folder of those who may leave it open."""
        return next(iter(self._folders.values()), None) or self.folder("Shared")

    def folder(self, segment: str) -> Folder:
        """Return the folder of a trigger's path segment, a key or a fully qualified name."""
        key = _key(segment)
        folder = self._folders.get(key)
        if folder is None:
            folder = self._folders[key] = Folder(_number("folder", key), key, segment)
            for slug in self._slugs:
                self.process(folder, slug)
        return folder

    def process(self, folder: Folder, name: str) -> Process | None:
        """Return the process of a name, or None where it is one of those that are unknown."""
        if name in self._unknown:
            return None
        process = self._processes.get((folder.key, name))
        if process is None:
            process = self._processes[folder.key, name] = Process(
                folder,
                name,
                trigger_id=str(uuid.uuid5(_NAMESPACE, f"trigger:{folder.key}:{name}")),
                release_id=_number("release", f"{folder.key}:{name}"),
                release_key=str(uuid.uuid5(_NAMESPACE, f"release:{folder.key}:{name}")),
            )
        return process

    def processes(self, folder: Folder) -> Iterable[Process]:
        """Return the processes of a folder that have been named."""
        return [process for process in self._processes.values() if process.folder is folder]

    def selected(self, headers: Mapping[str, str]) -> Folder | None:
        """Return the folder that a call's headers select, or None where they select none.

        Raises UnknownFolderError for an id that belongs to no folder: unlike a name, it cannot be made true.
        """
        if FOLDER_KEY in headers:
            return self.folder(headers[FOLDER_KEY])
        if FOLDER_ID in headers:
            return self._by_id(headers[FOLDER_ID])
        if FOLDER_PATH in headers:
            return self.folder(headers[FOLDER_PATH])
        if FOLDER_PATH_ENCODED in headers:
            return self.folder(_decoded(headers[FOLDER_PATH_ENCODED]))
        return None

    def _by_id(self, text: str) -> Folder:
        folder = next((each for each in self._folders.values() if str(each.id) == text.strip()), None)
        if folder is None:
            raise _no_such_folder()
        return folder


def _key(segment: str) -> str:
    """Return the key of a folder that is named by its key or by its name."""
    try:
        return str(uuid.UUID(segment))
    except ValueError:
        return str(uuid.uuid5(_NAMESPACE, f"folder:{segment}"))


def _number(kind: str, name: str) -> int:
    """Return an id with seven digits, as Orchestrator's have."""
    return 1_000_000 + int.from_bytes(hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8]) % 9_000_000


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-16-le")
    except (binascii.Error, UnicodeDecodeError):
        raise _no_such_folder() from None


def _no_such_folder() -> UnknownFolderError:
    return UnknownFolderError("Folder does not exist or the user does not have access to the folder.", 1100)
