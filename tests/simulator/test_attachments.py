"""Attachments: outputs that a job's record does not hold, uploads, and the storage of both."""

from __future__ import annotations

import pytest

from tests.simulator.test_jobs_api import begin, call, read


async def described(t, key: str) -> dict:
    """Return what the tenant says of an attachment."""
    status, attachment, _ = await call(t, "GET", f"odata/Attachments({key})")
    assert status == 200
    return attachment


async def test_long_output(tenant):
    """Above the limit a job has a file and no output; its blob is got without a token, byte for byte."""
    t = await tenant(duration=0, max_inline_output=1000)
    short, long = [(await begin(t, arguments={"output_size": size}))[0] for size in (1000, 1001)]
    assert ((await read(t, short))["OutputFile"], len((await read(t, short))["OutputArguments"])) == (None, 1000)
    job = await read(t, long)
    assert job["OutputArguments"] is None
    access = (await described(t, job["OutputFile"].upper()))["BlobFileAccess"]
    assert (access["Verb"], access["RequiresAuth"]) == ("GET", False)
    blob = await t.get(access["Uri"], {})
    assert (blob.status, len(blob.body), blob.json.keys()) == (200, 1001, {"padding"})


async def test_storage_takes_no_token(tenant):
    """A caller that brings its token to the storage is refused, and so is one that edits the signed URL."""
    t = await tenant(duration=0, max_inline_output=0)
    (job,) = await begin(t)
    uri = (await described(t, (await read(t, job))["OutputFile"]))["BlobFileAccess"]["Uri"]
    assert (await t.get(uri)).status == 403
    assert (await t.get(uri[:-1] + ("0" if uri[-1] != "0" else "1"), {})).status == 403
    assert (await t.get(uri.replace("verb=GET", "verb=PUT"), {})).status == 403
    assert (await t.call("PUT", uri, {}, data=b"{}")).status == 403
    assert (await t.get(uri, {})).status == 200
    assert (t.simulator.counters.refused, t.simulator.counters.blobs) == (4, 5)


async def test_storage_of_another_host(tenant):
    """Blobs can be on another host than the tenant."""
    t = await tenant(duration=0, max_inline_output=0, blob_host="blobs.invalid:1")
    (job,) = await begin(t)
    uri = (await described(t, (await read(t, job))["OutputFile"]))["BlobFileAccess"]["Uri"]
    assert uri.startswith("http://blobs.invalid:1/_blobs/")


async def test_upload(tenant):
    """A file that was uploaded is read back, and can be a job's arguments."""
    t = await tenant(duration=0)
    status, made, _ = await call(t, "POST", "odata/Attachments", json={"Name": "in.json"})
    assert (status, made["Name"], made["BlobFileAccess"]["Verb"]) == (201, "in.json", "PUT")
    get = (await described(t, made["Id"]))["BlobFileAccess"]["Uri"]
    assert (await t.get(get, {})).status == 404
    assert (await t.call("PUT", made["BlobFileAccess"]["Uri"], {}, data=b'{"n":1}')).status == 201
    assert (await t.get(get, {})).body == b'{"n":1}'
    (job,) = await begin(t, InputFile=made["Id"])
    done = await read(t, job)
    assert (done["InputFile"], done["InputArguments"], done["OutputArguments"]) == (made["Id"], None, '{"n":1}')


@pytest.mark.parametrize("body", [{}, {"Name": ""}, []])
async def test_upload_without_a_name(tenant, body):
    """A file needs a name."""
    t = await tenant()
    assert (await call(t, "POST", "odata/Attachments", json=body))[0] == 400


async def test_no_attachment(tenant):
    """Keys of no file are 404: of nobody's, and of a job that has no output (yet)."""
    t = await tenant(duration=60)
    await begin(t)
    assert (await call(t, "GET", "odata/Attachments(00000000-0000-0000-0000-000000000000)"))[0] == 404
    _, made, _ = await call(t, "POST", "odata/Attachments", json={"Name": "forgotten"})
    await t.admin("POST", "reset")
    assert (await t.call("PUT", made["BlobFileAccess"]["Uri"], {}, data=b"{}")).status == 404
    assert (await t.get("/_blobs/whatever", {})).status == 404
