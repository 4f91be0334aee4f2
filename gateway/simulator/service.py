"""The API service: which handler answers which resource below `odata/` and `api/`, for whom."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.simulator import answers
from gateway.simulator.access import Access
from gateway.simulator.answers import Answer
from gateway.simulator.attachments import Attachments
from gateway.simulator.calls import Call, RefusedError
from gateway.simulator.catalog import Catalog, UnknownFolderError
from gateway.simulator.jobs_api import JobsApi
from gateway.simulator.metadata import Metadata
from gateway.simulator.odata_filter import ODataError
from gateway.simulator.targets import Resource
from gateway.simulator.wire import Script

Handler = Callable[..., Awaitable[Answer | Script]]
"""Takes the call and the key in the resource's parentheses, if it has one."""

_ACTION = r"odata/Jobs/UiPath\.Server\.Configuration\.OData"
_GUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


class Service:
    """Answers every call to the APIs."""

    def __init__(
        self, access: Access, catalog: Catalog, jobs: JobsApi, attachments: Attachments, metadata: Metadata
    ) -> None:
        self._access = access
        self._catalog = catalog
        routes: list[tuple[str, str, Handler]] = [
            ("GET", r"odata/Jobs", jobs.listing),
            ("GET", r"odata/Jobs\(([0-9]{1,18})\)", jobs.by_number),
            ("GET", rf"{_ACTION}\.GetByKey\(identifier='?({_GUID})'?\)", jobs.by_key),
            ("POST", rf"{_ACTION}\.StartJobs", jobs.start),
            ("POST", rf"{_ACTION}\.StopJobs", jobs.stop),
            ("POST", r"odata/Attachments", attachments.create),
            ("GET", rf"odata/Attachments\(({_GUID})\)", attachments.read),
            ("GET", r"odata/HttpTriggers", metadata.triggers),
            ("GET", r"odata/Folders", metadata.folders),
            ("GET", r"odata/Releases", metadata.releases),
            ("GET", r"api/FoldersNavigation/GetFoldersForCurrentUser", metadata.navigation),
        ]
        self._routes = [(method, re.compile(pattern), handler) for method, pattern, handler in routes]

    async def answer(self, request: web.Request, resource: Resource, origin: str) -> Answer | Script:
        """Answer a call to a resource."""
        refused = self._access.refusal(request.headers.get("Authorization", ""))
        if refused is not None:
            return refused
        matches = [
            (method, match, run) for method, path, run in self._routes if (match := path.fullmatch(resource.path))
        ]
        if not matches:
            return answers.error(404, "Not found.", 0)
        for method, match, run in matches:
            if method == request.method:
                return await self._run(request, resource, origin, run, match.groups())
        return answers.error(405, "This resource does not support the method.", 0, ("Allow", matches[0][0]))

    async def _run(
        self, request: web.Request, resource: Resource, origin: str, run: Handler, keys: tuple[str, ...]
    ) -> Answer | Script:
        try:
            call = Call(request, resource.base, origin, self._catalog.selected(request.headers))
            return await run(call, *keys)
        except RefusedError as refused:
            return refused.answer
        except UnknownFolderError as unknown:
            return answers.error(400, str(unknown), unknown.code)
        except ODataError as wrong:
            message = f"The query specified in the URI is not valid. {wrong}"
            return answers.error(400, message, answers.INVALID_REQUEST)
