"""The file's keys → the settings that each package declares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.auth.settings import AuthSettings
from gateway.config.kinds import AUTO
from gateway.config.model import DRAIN_NOTICE, WORKERS, CallbackKeys, GatewayKeys, JobsApiKeys, OAuthKeys
from gateway.config.routes import RECONCILE_WAIT, ROUTE_START_RETRY, PolicyKeys, RouteKeys
from gateway.core.jobs_api import trigger_place
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import Binding, Deduplicate, Pace, Policy
from gateway.core.reach import stoppable
from gateway.observability.settings import LogSettings
from gateway.store.settings import StoreSettings
from gateway.upstream.settings import JobsApiSettings, OAuthSettings, UpstreamSettings
from gateway.web.settings import Route, WebSettings
from gateway.worker.settings import CallbackSettings, WorkerSettings

_NOT_POLICY = frozenset(RouteKeys.model_fields) - frozenset(PolicyKeys.model_fields)
_TLS_FILES = ("ca_file", "cert_file", "key_file")
_PACE = {"typical": "typical", "poll_floor": "floor", "poll_ceiling": "ceiling", "learn": "learn"}


class Config(msgspec.Struct, frozen=True):
    """Everything that one gateway process is told, each package's part in that package's own words."""

    upstream: UpstreamSettings
    store: StoreSettings
    web: WebSettings
    auth: AuthSettings
    worker: WorkerSettings
    log: LogSettings
    workers: int | None = WORKERS
    """How many processes serve; None: as many as there are CPUs for them."""


def settings(keys: GatewayKeys, directory: Path, environment: Mapping[str, str]) -> Config:
    """Return the settings that checked keys mean. Paths are relative to `directory`, the configuration's own."""
    return Config(
        upstream=_upstream(keys, directory),
        store=_store(keys, directory, environment),
        web=_web(keys),
        auth=_auth(keys, directory, environment),
        worker=WorkerSettings(
            answer_unsaved=keys.store.answer_unsaved,
            held_connections=keys.limits.held_connections,
            callbacks=callbacks(keys.callbacks),
        ),
        log=LogSettings(format=keys.log.format, level=keys.log.level),
        workers=keys.workers,
    )


def policy(keys: GatewayKeys, route: RouteKeys | None = None) -> Policy:
    """Return the policy of a route, or of pass-through: what it says, over the defaults, over the built-in."""
    said = _said(keys.defaults)
    if route:
        said |= _said(route)
        said.setdefault("start_retry", min(ROUTE_START_RETRY, said.get("wait", Policy().wait)))
    if said.get("upstream_mode") == AUTO:
        # Of what names no trigger, there is one start.
        process = route is not None and route.trigger is None and bool(route.process or route.release)
        said |= {"auto": True, "upstream_mode": UpstreamMode.JOBS if process else Policy().upstream_mode}
    allowed = frozenset(said.pop("modes", CallerMode))
    if not said.get("track", True):  # without a record there is nothing to watch in any other mode
        allowed = frozenset({CallerMode.FORGET})
    pace = Pace(**{_PACE[name]: said.pop(name) for name in _PACE if name in said})
    binding = _binding(said, route, api=keys.upstream.jobs_api is not None)
    if (same := said.pop("deduplicate", None)) is not None:
        said["deduplicate"] = Deduplicate(same.window, frozenset(same.by))
    meant = Policy(**said, pace=pace, allowed_modes=allowed, binding=binding)
    if "reconcile_wait" not in said and stoppable(meant):
        return msgspec.structs.replace(meant, reconcile_wait=RECONCILE_WAIT)
    return meant


def _binding(said: dict[str, Any], route: RouteKeys | None, *, api: bool) -> Binding:
    """Return what a policy is bound to, taking the keys that say so out of `said`."""
    folder, slug = trigger_place(route.trigger) if route and route.trigger else (None, None)
    return Binding(
        api=api,
        folder=said.pop("folder", None) or folder,
        slug=slug,
        process=route.process if route else None,
        release=route.release if route else None,
        trigger=route.trigger_id if route else None,
        correlation=said.pop("correlation", None),
        repeated=said.get("idempotent", Policy().idempotent),
    )


def callbacks(keys: CallbackKeys) -> CallbackSettings:
    """Return who may be called back."""
    return CallbackSettings(
        allow=keys.allow,
        secret=keys.secret,
        secrets=keys.secrets,
        timeout=keys.timeout,
        insecure=keys.insecure,
    )


def keyring_given(keys: GatewayKeys, environment: Mapping[str, str]) -> bool:
    """Return whether the file or the environment says where the keyring is."""
    return bool(keys.keyring or keys.keyring_file or environment.get("CALLMODE_KEYRING"))


def route_name(route: RouteKeys) -> str:
    """Return what a route is called."""
    return route.name or route.path.removeprefix("/")


def _said(keys: PolicyKeys) -> dict[str, Any]:
    return {name: getattr(keys, name) for name in keys.model_fields_set - _NOT_POLICY}


def _upstream(keys: GatewayKeys, directory: Path) -> UpstreamSettings:
    upstream = keys.upstream
    return UpstreamSettings(
        url=upstream.url,
        bearer=upstream.bearer,
        oauth=_oauth(upstream.oauth),
        jobs_api=_jobs_api(upstream.jobs_api),
        allowed_hosts=frozenset(upstream.allowed_hosts),
        connect_timeout=upstream.connect_timeout,
        max_connections=keys.limits.connections,
        idle_timeout=upstream.idle_timeout,
        max_answer=keys.limits.answer,
        ca_file=str(directory / upstream.ca_file) if upstream.ca_file else None,
    )


def _oauth(keys: OAuthKeys | None) -> OAuthSettings | None:
    return None if keys is None else OAuthSettings(**keys.model_dump(exclude_unset=True))


def _jobs_api(keys: JobsApiKeys | None) -> JobsApiSettings | None:
    if keys is None:
        return None
    return JobsApiSettings(
        bearer=keys.bearer,
        oauth=_oauth(keys.oauth),
        calls_per_minute=keys.calls_per_minute,
        grouped_reads=keys.grouped_reads,
    )


def _store(keys: GatewayKeys, directory: Path, environment: Mapping[str, str]) -> StoreSettings:
    store = keys.store
    return StoreSettings(
        url=store.url,
        username=store.username,
        password=store.password,
        sentinel_username=store.sentinel_username,
        sentinel_password=store.sentinel_password,
        **{name: directory / path for name in _TLS_FILES if (path := getattr(store, name))},
        data_dir=directory / store.data_dir if store.data_dir else _state_directory(environment),
        durability=store.durability,
        wait_replicas=store.wait_replicas,
        wait_timeout=store.wait_timeout,
        prefix=store.prefix,
        lease=store.lease,
        timeout=store.timeout,
    )


def _state_directory(environment: Mapping[str, str]) -> Path:
    """Return the default data directory (XDG Base Directory Specification: a relative path there is ignored)."""
    state = Path(environment.get("XDG_STATE_HOME", ""))
    home = Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    return (state if state.is_absolute() else home / ".local" / "state") / "callmode"


def _web(keys: GatewayKeys) -> WebSettings:
    return WebSettings(
        listen=keys.listen,
        admin=keys.admin,
        public_url=keys.public_url,
        trusted_proxies=keys.trusted_proxies,
        max_body=keys.limits.body,
        routes=tuple(_route(keys, route) for route in keys.routes),
        default_policy=policy(keys),
        base_path=urlsplit(keys.upstream.url).path,
        drain=keys.drain,
        drain_notice=_drain_notice(keys),
        keep_alive=keys.keep_alive,
        hook_secrets=keys.webhooks.secrets,
    )


def _drain_notice(keys: GatewayKeys) -> int:
    """Return for how long a stopping replica takes calls as ever: with a store of its own it is the only one."""
    if keys.drain_notice is not None:
        return keys.drain_notice
    return DRAIN_NOTICE if keys.store.url else 0


def _route(keys: GatewayKeys, route: RouteKeys) -> Route:
    return Route(
        name=route_name(route),
        path=route.path,
        trigger=route.trigger,
        methods=frozenset(route.methods),
        policy=policy(keys, route),
        cors=frozenset(route.cors),
    )


def _auth(keys: GatewayKeys, directory: Path, environment: Mapping[str, str]) -> AuthSettings:
    """Return where the keyring is: as the file says, else in the environment, else beside the embedded store."""
    text = keys.keyring
    if not keys.keyring_file:
        text = text or environment.get("CALLMODE_KEYRING") or None
    file = directory / keys.keyring_file if keys.keyring_file else None
    if not text and not file and not keys.store.url:
        file = _store(keys, directory, environment).data_dir / "keyring"
    return AuthSettings(keyring=text, keyring_file=file)
