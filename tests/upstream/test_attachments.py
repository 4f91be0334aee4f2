"""Outputs in attachments: the look-up, the download, and whose credential goes where."""

import pytest

from gateway.core import events as e
from gateway.core.exchange import Answer, Failure, Framing, Reason
from gateway.core.jobs_api import job_leg
from gateway.core.outcome import MAX_UNREADABLE, Origins
from gateway.upstream.attachments import Attachments
from gateway.upstream.credentials import Authorized, FixedBearer
from tests.upstream.support import FOLDER, ScriptedClient, answered

BASE = "https://cloud.uipath.com/acme/prod/orchestrator_"
KEY = "0d3c5b2a-1f4e-4c6d-8a9b-102132435465"
LEG = job_leg(BASE, KEY, FOLDER)
BLOB = "https://store.blob.example/x/out.json?sig=a%2Fb"


def access(uri=BLOB, *, auth=False):
    """Return the look-up's answer."""
    fields = {"Keys": ["x-ms-version"], "Values": ["2021"]}
    return answered(
        200, {"Id": 1, "BlobFileAccess": {"Uri": uri, "Verb": "GET", "RequiresAuth": auth, "Headers": fields}}
    )


async def fetched(looked_up, blob=None, *, failures=0):
    """Return what became of a read, and the requests."""
    client = ScriptedClient(lambda request: looked_up if "/odata/" in request.url else blob)
    origins = Origins(BASE, frozenset({"store.blob.example"}))
    attachments = Attachments(Authorized(client, FixedBearer("ours")), client, origins)
    return await attachments.outcome(KEY, LEG, None, timeout=5.0, failures=failures), client.requests


async def test_the_output_is_the_blob():
    """The signed URL byte for byte, with the fields that it asks for and without the gateway's credential."""
    event, (look_up, download) = await fetched(access(), answered(200, {"a": 1}))
    assert (event.outcome.status, event.outcome.body) == (200, b'{"a": 1}')
    assert look_up.url == f"{BASE}/odata/Attachments({KEY})"
    assert dict(look_up.headers)["Authorization"] == "Bearer ours"
    assert dict(look_up.headers)["X-UIPATH-FolderKey"] == FOLDER
    assert (download.url, dict(download.headers)["x-ms-version"]) == (BLOB, "2021")
    assert "Authorization" not in dict(download.headers)


async def test_orchestrators_own_storage_is_told_who_asks():
    """`RequiresAuth`: then the credential goes along, to an allowed host."""
    _, (_, download) = await fetched(access(f"{BASE}/blobs/1", auth=True), answered(200, {}))
    assert dict(download.headers)["Authorization"] == "Bearer ours"


@pytest.mark.parametrize(
    "uri", ["https://other.example/x", "https://store.blob.example@other.example/", "ftp://x/y", "//"]
)
async def test_other_hosts_are_not_read(uri):
    """Whatever the URL looks like."""
    event, requests = await fetched(access(uri), answered(200, {}))
    assert isinstance(event, e.ReadFailed)
    assert len(requests) == 1


@pytest.mark.parametrize(
    "looked_up",
    [
        answered(401),
        answered(404, {"message": "gone"}),
        answered(200, {"BlobFileAccess": {}}),
        answered(200, []),
        Answer(200, (), b"{"),
        Failure(Reason.TIMEOUT, sent=True),
    ],
)
async def test_a_look_up_that_fails_is_repeated(looked_up):
    """The job has ended; nothing of this is its outcome."""
    event, requests = await fetched(looked_up)
    assert isinstance(event, e.ReadFailed)
    assert (len(requests), event.unauthorized) == (1, looked_up == answered(401))


@pytest.mark.parametrize(
    "blob",
    [
        answered(403),
        answered(503, None, ("Retry-After", "3")),
        Answer(200, (), b'{"a": "x', Framing.CLOSE),
        Answer(200, (), b""),
        Failure(Reason.RESET, sent=True),
        Failure(Reason.TRUNCATED, sent=True),
    ],
)
async def test_a_download_that_fails_or_is_cut_is_repeated(blob):
    """An expired signature is looked up anew by the next read; half an output is none."""
    event, _ = await fetched(access(), blob)
    assert isinstance(event, e.ReadFailed)


async def test_an_output_that_never_comes_whole_is_given_up():
    """As any other outcome; one over the limit at once."""
    cut, _ = await fetched(access(), Answer(200, (), b"{"), failures=MAX_UNREADABLE)
    large, _ = await fetched(access(), Failure(Reason.TOO_LARGE, sent=True))
    assert {cut.outcome.problem, large.outcome.problem} == {"outcome-unreadable"}
