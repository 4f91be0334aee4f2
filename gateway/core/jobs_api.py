"""Orchestrator's Jobs API: what its documents say, and what that means for a job of the gateway's.

A trigger's URIs end with the outcome itself; here the outcome is a part of a document about the job, and is put into
the words that a trigger would have answered with, so that a caller cannot tell which way its job went. Nothing that
the API says besides that document is ever an outcome: an error of it is about the question, not about the job.
"""

from __future__ import annotations

import base64
import enum
import re
from typing import Any
from urllib.parse import unquote

import msgspec

from gateway.core import events as e
from gateway.core.errors import UpstreamAmbiguous
from gateway.core.exchange import Answer, Exchanged, Failure, Headers
from gateway.core.job import Job, Leg, LegKind, Outcome
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import StartContext, cut_short, failed_read, failed_start, refused_start, retry_after
from gateway.core.policy import Binding
from gateway.core.start import StartRequest

MAX_MISSES = 20
"""Failed reads in a row, about four minutes, after which a job that is not found is given up as lost."""

_JOBS = "/odata/Jobs"
_START = f"{_JOBS}/UiPath.Server.Configuration.OData.StartJobs"
_STOP = f"{_JOBS}/UiPath.Server.Configuration.OData.StopJobs"
_BY_KEY = f"{_JOBS}/UiPath.Server.Configuration.OData.GetByKey"

_FOLDER_KEY, _FOLDER_PATH = "X-UIPATH-FolderKey", "X-UIPATH-FolderPath"
_FOLDER_ENCODED = "X-UIPATH-FolderPath-Encoded"

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_KEY_IN_LEG = re.compile(rf"\(identifier=({_GUID.pattern})\)$")

_FAULTED_CODE, _STOPPED_CODE = 4801, 4802
"""Orchestrator's error codes of a trigger whose job faulted, or was stopped."""
_JSON: Headers = (("Content-Type", "application/json; charset=utf-8"),)


class JobState(enum.StrEnum):
    """A job's state in Orchestrator, in the order of the numbers that some versions send instead (0 to 8)."""

    PENDING = "Pending"
    RUNNING = "Running"
    STOPPING = "Stopping"
    TERMINATING = "Terminating"
    FAULTED = "Faulted"
    SUCCESSFUL = "Successful"
    STOPPED = "Stopped"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"


_BY_NUMBER = tuple(JobState)
_ENDED = frozenset({JobState.FAULTED, JobState.SUCCESSFUL, JobState.STOPPED})
_RUNS = frozenset(JobState) - _ENDED


class JobDocument(msgspec.Struct, frozen=True, rename="pascal"):
    """What the Jobs API tells of a job. Lists leave the arguments out; only a read of one job has them."""

    key: str
    id: int | None = None
    state: str | int = ""
    reference: str | None = None
    """What its start named it; only jobs of `StartJobs` have one."""
    input_arguments: str | None = None
    """A JSON object, as text."""
    output_arguments: str | None = None
    """A JSON object, as text."""
    output_file: str | None = None
    """The key of the attachment that has the output instead, where that is large."""
    info: str | None = None
    job_error: Any = None

    @property
    def ended(self) -> JobState | None:
        """The state it ended in; None while it has not, and for states that later versions may add."""
        return JobState(self._word) if self._word in _ENDED else None

    @property
    def runs(self) -> bool:
        """Whether it surely has not ended: not told of no state at all, nor of states that later versions may add."""
        return self._word in _RUNS

    @property
    def _word(self) -> str:
        if isinstance(self.state, str):
            return self.state
        return _BY_NUMBER[self.state].value if 0 <= self.state < len(_BY_NUMBER) else ""


class Attached(msgspec.Struct, frozen=True):
    """The job has succeeded; its output is in the attachment of this key."""

    key: str


class _List(msgspec.Struct, frozen=True):
    value: list[JobDocument]


_document = msgspec.json.Decoder(JobDocument)
_documents = msgspec.json.Decoder(_List)


# What is asked.


def is_guid(text: str) -> bool:
    """Whether `text` is a GUID, as keys are: nothing else is ever put into a URL."""
    return _GUID.fullmatch(text) is not None


def folder_headers(folder: str | None) -> Headers:
    """Return what names the folder of a call: by its key, or by its fully qualified name."""
    if folder is None:
        return ()
    if is_guid(folder):
        return ((_FOLDER_KEY, folder),)
    if folder.isascii():
        return ((_FOLDER_PATH, folder),)
    return ((_FOLDER_ENCODED, base64.b64encode(folder.encode("utf-16-le")).decode()),)


def folder_of(headers: Headers) -> str | None:
    """Return the folder that `folder_headers` named."""
    for name, value in headers:
        if name in {_FOLDER_KEY, _FOLDER_PATH}:
            return value
        if name == _FOLDER_ENCODED:
            return base64.b64decode(value).decode("utf-16-le")
    return None


def start_request(base: str, folder: str | None, arguments: bytes) -> StartRequest:
    """Return a start through the Jobs API; `correlation.bound` puts the job's id and process around `arguments`."""
    headers = (("Accept", "application/json"), ("Accept-Encoding", "identity"), ("Content-Type", "application/json"))
    return StartRequest("POST", f"{base}{_START}", (*headers, *folder_headers(folder)), arguments)


def stop_url(base: str) -> str:
    """Return where jobs are asked to stop."""
    return f"{base}{_STOP}"


def list_url(base: str) -> str:
    """Return where jobs are listed."""
    return f"{base}{_JOBS}"


def job_leg(base: str, key: str, folder: str | None) -> Leg:
    """Return what is read of the job of a key in Orchestrator. Raises ValueError for a key that is no GUID."""
    if not is_guid(key):
        raise ValueError("the key of a job in Orchestrator is a GUID")
    return Leg(LegKind.JOB, f"{base}{_BY_KEY}(identifier={key})", folder)


def key_in(leg: Leg) -> str | None:
    """Return the key of the job that a leg of the Jobs API reads, in lower case."""
    found = _KEY_IN_LEG.search(leg.url) if leg.kind is LegKind.JOB else None
    return None if found is None else found[1].lower()


def trigger_place(path: str) -> tuple[str, str]:
    """Return the folder and the path in it that a trigger's path `/t/<folder>/<path>` names, without escapes."""
    folder, _, slug = path.removeprefix("/t/").partition("/")
    return unquote(folder), unquote(slug)


def place(job: Job, binding: Binding) -> tuple[str | None, str | None]:
    """Return the folder of a job and the trigger's path in it; under pass-through, a route is called by its path."""
    folder, slug = trigger_place(job.route) if job.route.startswith("/t/") else (None, None)
    return binding.folder or folder, binding.slug or slug


# What is answered.


def job_in(answer: Answer) -> JobDocument | None:
    """Return the job that an answer tells of; None if it tells of none, or is not whole."""
    try:
        job = _document.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return job if is_guid(job.key) else None


def jobs_in(answer: Answer) -> list[JobDocument] | None:
    """Return the jobs that an answer lists; None if it lists none, or is not whole."""
    try:
        jobs = _documents.decode(answer.body).value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return jobs if all(is_guid(job.key) for job in jobs) else None


def argument_of(job: JobDocument, name: str) -> str | None:
    """Return the in-argument `name` of a job, where it is text."""
    try:
        members = msgspec.json.decode(job.input_arguments or "", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    value = members.get(name)
    return value if isinstance(value, str) else None


def judge_jobs_start(exchanged: Exchanged, context: StartContext, folder: str | None) -> e.Event:
    """Say what the answer to a `StartJobs`, or its failure, means. The rules of errors are those of triggers."""
    if isinstance(exchanged, Failure):
        return failed_start(exchanged)
    if exchanged.status >= 400:
        return refused_start(exchanged, context)
    jobs = jobs_in(exchanged) if exchanged.status in {200, 201} else None
    if jobs is None or len(jobs) != 1:
        return e.StartAmbiguous(f"the Jobs API answered the start with {exchanged.status} and named no one job")
    key = jobs[0].key
    return e.Followed(UpstreamMode.JOBS, job_leg(context.origins.upstream_url, key, folder), key)


def judge_job(exchanged: Exchanged, leg: Leg, failures: int = 0) -> e.Event | Attached:
    """Say what a read of a job means. `failures`: those that came in a row just before.

    A 404 is waited out for a while: a job is found a moment after it was made, a folder's rights come and go, and the
    job runs on meanwhile. Then what became of it is in doubt; that it ended badly is not what Orchestrator said.
    """
    if isinstance(exchanged, Failure):
        return failed_read(exchanged, leg, failures)
    answer, hint = exchanged, retry_after(exchanged)
    if answer.status == 404 and failures >= MAX_MISSES:
        return e.Lost("Orchestrator knows the job no longer", UpstreamAmbiguous.code)
    if answer.status != 200:
        why = f"the Jobs API answered {answer.status}"
        return e.ReadFailed(why, hint, unauthorized=answer.status == 401)
    job = job_in(answer)
    if job is None:
        return cut_short("the Jobs API's answer is no job", leg, failures, hint)
    ended = job.ended
    if ended is None:
        return e.StillRunning(hint)
    if ended is JobState.SUCCESSFUL and not job.output_arguments and job.output_file:
        return Attached(job.output_file)
    return e.Ended(_outcome(job, ended))


def succeeded(output: bytes) -> Outcome:
    """Return the outcome of a job with this output, as a trigger answers it; a job without one has `{}`."""
    return Outcome(200, _JSON, output or b"{}")


def _outcome(job: JobDocument, state: JobState) -> Outcome:
    if state is JobState.SUCCESSFUL:
        return succeeded((job.output_arguments or "").encode())
    if state is JobState.STOPPED:
        return _error(job.info or "The job was stopped.", _STOPPED_CODE)
    return _error(job.info or _detail(job.job_error) or "The job faulted.", _FAULTED_CODE)


def _detail(error: object) -> str | None:
    """Return what an error says; its members are spelt `detail` or `Detail`."""
    if not isinstance(error, dict):
        return None
    said = {str(name).lower(): value for name, value in error.items()}
    texts = (said.get("detail"), said.get("title"))
    return next((text for text in texts if isinstance(text, str) and text), None)


def _error(message: str, code: int) -> Outcome:
    return Outcome(500, _JSON, msgspec.json.encode({"message": message, "errorCode": code}))
