"""Attachments: outputs that are too long for a job's own record, and what clients upload, with their blobs.

`odata/Attachments({key})` tells where the blob is and how to get it: a signed URL of a storage of its own, which takes
no token (`RequiresAuth` is false). As Azure's, the storage refuses a call that brings one along.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.simulator.answers import JSON, Answer, json_answer
from gateway.simulator.calls import Call, invalid, missing
from gateway.simulator.clock import WallClock
from gateway.simulator.counters import Counters
from gateway.simulator.job import Job
from gateway.simulator.job_entity import job_id_of, output_text
from gateway.simulator.jobs import JobTable
from gateway.simulator.odata import timestamp
from gateway.simulator.settings import Settings

_BLOB = re.compile(r"/_blobs/(?P<key>[0-9a-f-]{36})\?verb=(?P<verb>GET|PUT)&sig=(?P<signature>[0-9a-f]{64})")


@dataclass(slots=True)
class Upload:
    """An attachment that a client made; `body` is None until its blob was put."""

    name: str
    created_at: float
    body: bytes | None = None


class Attachments:
    """The handlers of `odata/Attachments` and of the storage behind it."""

    def __init__(self, settings: Settings, jobs: JobTable, counters: Counters, clock: WallClock) -> None:
        self._settings = settings
        self._jobs = jobs
        self._counters = counters
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._uploads: dict[str, Upload] = {}

    def reset(self) -> None:
        """Forget all uploads."""
        self._uploads.clear()

    def upload(self, key: str) -> bytes | None:
        """Return what was uploaded under a key, or None."""
        upload = self._uploads.get(key.lower())
        return None if upload is None else upload.body

    async def create(self, call: Call) -> Answer:
        """Make an attachment to upload to: 201 with the address to put its blob at."""
        name = (await call.json_object()).get("Name")
        if not isinstance(name, str) or not name:
            raise invalid("The field Name is required.")
        key = str(uuid.uuid4())
        upload = self._uploads[key] = Upload(name, asyncio.get_running_loop().time())
        return json_answer(201, self._entity(call, key, upload.name, upload.created_at, "PUT"))

    async def read(self, call: Call, key: str) -> Answer:
        """Tell where an attachment's blob is."""
        key = key.lower()
        upload = self._uploads.get(key)
        if upload is not None:
            return json_answer(200, self._entity(call, key, upload.name, upload.created_at, "GET"))
        job = self._job_of(key)
        if job is None or job.ended_at is None:
            raise missing("Attachment does not exist.")
        return json_answer(200, self._entity(call, key, f"{job.key}.json", job.ended_at, "GET"))

    async def blob(self, request: web.Request, target: str) -> Answer | None:
        """Answer a call to the storage, or return None where the target is none of its."""
        match = _BLOB.fullmatch(target)
        if match is None:
            return None
        self._counters.blobs += 1
        signed = hmac.compare_digest(match["signature"], self._signature(match["key"], match["verb"]))
        if not signed or request.method != match["verb"] or "Authorization" in request.headers:
            self._counters.refused += 1
            return Answer(
                403, b"<Error><Code>AuthenticationFailed</Code></Error>", (("Content-Type", "application/xml"),)
            )
        if request.method == "PUT":
            return self._put(match["key"], await request.read())
        return self._get(match["key"])

    def _put(self, key: str, body: bytes) -> Answer:
        upload = self._uploads.get(key)
        if upload is None:
            return Answer(404)
        upload.body = body
        return Answer(201)

    def _get(self, key: str) -> Answer:
        job = self._job_of(key)
        body = self.upload(key) if job is None else (output_text(job) or "").encode()
        return Answer(404) if body is None else Answer(200, body, (("Content-Type", JSON),))

    def _job_of(self, key: str) -> Job | None:
        """Return the job whose output an attachment is."""
        job = self._jobs.by_id.get(job_id_of(key))
        return job if job is not None and output_text(job) is not None else None

    def _entity(self, call: Call, key: str, name: str, created_at: float, verb: str) -> dict[str, Any]:
        origin = call.origin
        if self._settings.blob_host is not None:
            origin = f"{call.request.scheme}://{self._settings.blob_host}"
        created = timestamp(self._clock.at(created_at))
        return {
            "@odata.context": f"{call.context}$metadata#Attachments/$entity",
            "Id": key,
            "Key": key,
            "Name": name,
            "CreationTime": created,
            "LastModificationTime": created,
            "BlobFileAccess": {
                "Uri": f"{origin}/_blobs/{key}?verb={verb}&sig={self._signature(key, verb)}",
                "Verb": verb,
                "RequiresAuth": False,
                "Headers": {"Keys": ["x-ms-blob-type"], "Values": ["BlockBlob"]},
            },
        }

    def _signature(self, key: str, verb: str) -> str:
        return hmac.digest(self._key, f"{verb}:{key}".encode(), "sha256").hex()
