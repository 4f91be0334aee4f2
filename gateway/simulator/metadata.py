"""Look-ups of what is in the tenant: API triggers, folders, releases.

What a filter asks for by name exists (see `catalog`), so that a client finds the trigger that it is about to call.
"""

from __future__ import annotations

from typing import Any

from gateway.simulator import answers
from gateway.simulator.answers import Answer, json_answer
from gateway.simulator.calls import Call, RefusedError
from gateway.simulator.catalog import Catalog, Folder, Process
from gateway.simulator.odata import EntitySet, page, read_query
from gateway.simulator.odata_filter import Kind, Property
from gateway.simulator.settings import Settings, trigger_of


class Metadata:
    """The handlers of `odata/HttpTriggers`, `odata/Folders`, `odata/Releases` and the folders' navigation."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._catalog = catalog
        self._require_folder = settings.require_folder
        self._triggers = _triggers(settings)
        self._releases = _releases()
        self._folders = _folders()

    async def triggers(self, call: Call) -> Answer:
        """List the API triggers of the selected folder."""
        folder = self._folder(call)
        query = read_query(self._triggers, call.request.query)
        for slug in (*query.asked("Slug"), *query.asked("Name")):
            self._catalog.process(folder, slug)
        return json_answer(200, page(self._triggers, self._catalog.processes(folder), query, call.context))

    async def releases(self, call: Call) -> Answer:
        """List the releases of the selected folder."""
        folder = self._folder(call)
        query = read_query(self._releases, call.request.query)
        for name in query.asked("Name"):
            self._catalog.process(folder, name)
        return json_answer(200, page(self._releases, self._catalog.processes(folder), query, call.context))

    async def folders(self, call: Call) -> Answer:
        """List the tenant's folders."""
        query = read_query(self._folders, call.request.query)
        for name in (*query.asked("FullyQualifiedName"), *query.asked("DisplayName"), *query.asked("Key")):
            self._catalog.folder(name)
        return json_answer(200, page(self._folders, self._catalog.folders, query, call.context))

    async def navigation(self, call: Call) -> Answer:
        """List the folders whose name holds `searchText`, by pages of `take` from `skip` on, as UiPath's SDK asks."""
        query = call.request.query
        text = query.get("searchText", "")
        if text:
            self._catalog.folder(text)
        found = [folder for folder in self._catalog.folders if text.lower() in folder.name.lower()]
        skip, take = (int(query.get(name, "")) if query.get(name, "").isdecimal() else 0 for name in ("skip", "take"))
        shown = found[skip : skip + take] if take else found[skip:]
        items = [self._folders.entity(folder) for folder in shown]
        return json_answer(200, {"PageItems": items, "Count": len(found)})

    def _folder(self, call: Call) -> Folder:
        if call.selected is None and self._require_folder:
            raise RefusedError(answers.error(400, "A folder is required for this action.", answers.FOLDER_REQUIRED))
        return call.selected or self._catalog.first_folder


def _triggers(settings: Settings) -> EntitySet[Process]:
    def method(process: Process) -> str:
        """A trigger has one verb; those of the simulator take any, and are listed as POST where they may be."""
        methods = trigger_of(settings, process.name).methods
        return ("POST" if "POST" in methods else min(methods, default="POST")).capitalize()

    string, guid = Kind.STRING, Kind.GUID
    return EntitySet(
        "HttpTriggers",
        {
            "Id": Property(guid, lambda process: process.trigger_id),
            "Name": Property(string, lambda process: process.name),
            "Slug": Property(string, lambda process: process.name),
            "Method": Property(string, method),
            "CallingMode": Property(string, lambda process: trigger_of(settings, process.name).mode),
            "Enabled": Property(Kind.BOOLEAN, lambda _: True),
            "ReleaseId": Property(Kind.INTEGER, lambda process: process.release_id),
            "ReleaseKey": Property(guid, lambda process: process.release_key),
            "ReleaseName": Property(string, lambda process: process.name),
            "OrganizationUnitId": Property(Kind.INTEGER, lambda process: process.folder.id),
            "FolderKey": Property(guid, lambda process: process.folder.key),
            "ExternalReference": Property(
                string, lambda process: f"{method(process)} {process.name} {process.folder.key.upper()}"
            ),
        },
        {"Release": _release},
    )


def _releases() -> EntitySet[Process]:
    string = Kind.STRING
    return EntitySet(
        "Releases",
        {
            "Id": Property(Kind.INTEGER, lambda process: process.release_id),
            "Key": Property(Kind.GUID, lambda process: process.release_key),
            "Name": Property(string, lambda process: process.name),
            "ProcessKey": Property(string, lambda process: process.name),
            "ProcessVersion": Property(string, lambda _: "1.0.0"),
            "IsLatestVersion": Property(Kind.BOOLEAN, lambda _: True),
            "OrganizationUnitId": Property(Kind.INTEGER, lambda process: process.folder.id),
            "OrganizationUnitFullyQualifiedName": Property(string, lambda process: process.folder.name),
        },
    )


def _folders() -> EntitySet[Folder]:
    string = Kind.STRING
    return EntitySet(
        "Folders",
        {
            "Id": Property(Kind.INTEGER, lambda folder: folder.id),
            "Key": Property(Kind.GUID, lambda folder: folder.key),
            "DisplayName": Property(string, lambda folder: folder.name.rpartition("/")[2]),
            "FullyQualifiedName": Property(string, lambda folder: folder.name),
            "FolderType": Property(string, lambda _: "Standard"),
        },
    )


def _release(process: Process) -> dict[str, Any]:
    return {"Id": process.release_id, "Key": process.release_key, "Name": process.name, "ProcessKey": process.name}
