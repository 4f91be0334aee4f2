"""Look-ups of triggers, releases and folders."""

from __future__ import annotations

import uuid

import pytest

from gateway.simulator import Trigger
from tests.simulator.test_jobs_api import call


async def look_up(t, entities: str, folder: dict | None = None, **options) -> list[dict]:
    """List entities by query options, which have to be good."""
    params = {f"${name}": value for name, value in options.items()}
    status, found, _ = await call(t, "GET", f"odata/{entities}", folder, params=params)
    assert status == 200, found
    return found["value"]


async def test_triggers_of_a_folder(tenant):
    """A folder lists the triggers of the settings, those that were called, and those that are asked for by slug."""
    own = {"own": Trigger(mode="LongPolling", methods=frozenset({"GET"}))}
    t = await tenant(triggers=own)
    await t.start("called")
    assert [trigger["Slug"] for trigger in await look_up(t, "HttpTriggers")] == ["own", "called"]
    (asked,) = await look_up(t, "HttpTriggers", filter="Slug eq 'asked'", expand="Release")
    assert (asked["CallingMode"], asked["Method"], asked["Enabled"]) == ("AsyncRequestReply", "Post", True)
    assert asked["Release"]["Name"] == asked["ReleaseName"] == "asked"
    (listed,) = await look_up(t, "HttpTriggers", filter="CallingMode eq 'LongPolling'")
    assert (listed["Slug"], listed["Method"]) == ("own", "Get")


async def test_unknown_slugs_have_no_trigger(tenant):
    """A slug that is set to be unknown is not made up by asking."""
    t = await tenant()
    assert await look_up(t, "HttpTriggers", filter="Slug eq 'missing'") == []
    assert await look_up(t, "Releases", filter="Name eq 'missing'") == []


async def test_ids_follow_from_names(tenant):
    """Another tenant with the same names has the same ids; another folder has others."""
    tenants = [await tenant(), await tenant(seed=7)]
    found = [(await look_up(t, "HttpTriggers", filter="Slug eq 'a'"))[0] for t in tenants]
    assert found[0] == found[1]
    (elsewhere,) = await look_up(tenants[0], "HttpTriggers", {"X-UIPATH-FolderKey": "b"}, filter="Slug eq 'a'")
    assert elsewhere["Id"] != found[0]["Id"]


async def test_folder_key_in_the_path(tenant):
    """A path segment that is a GUID is the key of its folder; any other is its name."""
    t = await tenant(folders=())
    key = str(uuid.uuid4())
    await t.call("POST", f"{t.base}/t/{key.upper()}/job", json={})
    await t.call("POST", f"{t.base}/t/My%20Folder/job", json={})
    by_key, by_name = await look_up(t, "Folders", {})
    assert by_key["Key"] == key
    assert by_name["FullyQualifiedName"] == "My Folder"
    (same,) = await look_up(t, "Folders", {}, filter=f"Key eq {by_name['Key']}")
    assert same["Id"] == by_name["Id"]


async def test_folders(tenant):
    """Folders are listed as set, and found by the name that is asked for."""
    t = await tenant(folders=("Shared", "Finance/Invoices"))
    assert [folder["DisplayName"] for folder in await look_up(t, "Folders", {})] == ["Shared", "Invoices"]
    (found,) = await look_up(t, "Folders", {}, filter="FullyQualifiedName eq 'Sales'", select="Id,Key")
    assert found.keys() == {"Id", "Key"}


async def test_navigation(tenant):
    """The navigation pages through the folders whose names hold a text."""
    t = await tenant(folders=("a1", "a2", "b"))
    params = {"searchText": "a", "skip": "1", "take": "1"}
    _, found, _ = await call(t, "GET", "api/FoldersNavigation/GetFoldersForCurrentUser", params=params)
    assert (found["Count"], [item["FullyQualifiedName"] for item in found["PageItems"]]) == (3, ["a2"])


@pytest.mark.parametrize("entities", ["HttpTriggers", "Releases"])
async def test_need_a_folder(tenant, entities):
    """Triggers and releases are looked up in a folder."""
    t = await tenant()
    status, error, _ = await call(t, "GET", f"odata/{entities}", {})
    assert (status, error["errorCode"]) == (400, 1101)
