"""How the parts of this package go together: which credential each has, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import cached_property

from gateway.core.outcome import Origins
from gateway.upstream.attachments import Attachments
from gateway.upstream.budget import Budget
from gateway.upstream.credentials import Authorized, Credential, FixedBearer, PassedOn
from gateway.upstream.group_reads import GroupReads
from gateway.upstream.http1 import ClientOptions, Http1Client
from gateway.upstream.jobs_api import JobsApi
from gateway.upstream.listing import Listing, Trouble
from gateway.upstream.metadata import Metadata, TriggerIds, token_endpoint
from gateway.upstream.oauth import ClientCredentials, Endpoint, usual_token_url
from gateway.upstream.orchestrator import Orchestrator
from gateway.upstream.port import Spawn
from gateway.upstream.search import Search
from gateway.upstream.settings import JobsApiSettings, OAuthSettings, UpstreamSettings
from gateway.upstream.triggers import Triggers


class UpstreamAssembly:
    """One upstream's parts. `spawn` runs what they do beside requests; what must be closed is closed by `stack`.

    `replicas` says how many gateways share what Orchestrator rations by tenant, this one included. `ended` is told the
    key of each job that is seen to have ended while nobody was asking for it.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        spawn: Spawn,
        stack: AsyncExitStack,
        replicas: Callable[[], int] = lambda: 1,
        ended: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._spawn = spawn
        self._stack = stack
        self._replicas = replicas
        self._ended = ended
        self._origins = Origins(settings.url, settings.allowed_hosts)
        self._jobs_settings = settings.jobs_api or JobsApiSettings()

    @cached_property
    def orchestrator(self) -> Orchestrator:
        """All of it."""
        return Orchestrator(Triggers(Authorized(self._client, self._credential), self._origins), self._jobs)

    @cached_property
    def _client(self) -> Http1Client:
        settings = self._settings
        options = ClientOptions(
            connect_timeout=settings.connect_timeout / 1000,
            connections_per_origin=settings.max_connections,
            keep_alive=settings.idle_timeout / 1000,
            max_body=settings.max_answer,
            ca_file=settings.ca_file,
        )
        client = Http1Client(options)
        self._stack.push_async_callback(client.close)
        return client

    @cached_property
    def _credential(self) -> Credential:
        return self._own(self._settings.bearer, self._settings.oauth) or PassedOn()

    @cached_property
    def _jobs_credential(self) -> Credential:
        return self._own(self._jobs_settings.bearer, self._jobs_settings.oauth) or self._credential

    def _own(self, bearer: str | None, oauth: OAuthSettings | None) -> Credential | None:
        if oauth is not None:
            return ClientCredentials(self._client, oauth, self._endpoint(oauth), self._spawn)
        return None if bearer is None else FixedBearer(bearer)

    def _endpoint(self, oauth: OAuthSettings) -> Endpoint:
        async def endpoint() -> str | Trouble:
            if oauth.authority is not None:
                return await token_endpoint(self._metadata, oauth.authority)
            return oauth.token_url or usual_token_url(self._settings.url)

        return endpoint

    @cached_property
    def _metadata(self) -> Metadata:
        metadata = Metadata(self._settings.ca_file)
        self._stack.push_async_callback(metadata.close)
        return metadata

    @cached_property
    def _jobs(self) -> JobsApi:
        calls = Authorized(self._client, self._jobs_credential)
        listing = Listing(calls, self._settings.url)
        budget = Budget(self._jobs_settings.calls_per_minute, self._replicas)
        triggers = TriggerIds(self._metadata, self._jobs_credential, self._settings.url)
        search = Search(listing, budget, triggers, self._spawn)
        grouped = self._jobs_settings.grouped_reads
        group_reads = GroupReads(listing, budget, self._spawn, self._ended) if grouped else None
        attachments = Attachments(calls, self._client, self._origins)
        return JobsApi(calls, self._origins, listing, search, attachments, group_reads)
