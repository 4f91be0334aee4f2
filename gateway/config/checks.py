"""Values that are right by themselves and wrong together. Every message says which key to change, none a secret."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from gateway.config import bindings
from gateway.config.errors import Fault, Key
from gateway.config.mapping import callbacks, keyring_given, policy, route_name
from gateway.config.model import GatewayKeys, StoreKeys
from gateway.config.routes import PolicyKeys, RouteKeys
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import Policy
from gateway.store.address import Address, Topology, parse
from gateway.worker.guard import Guard, Refused


def faults(keys: GatewayKeys, environment: Mapping[str, str]) -> list[Fault]:
    """Return everything that does not go together."""
    return [
        *_ports(keys),
        *_credentials(keys),
        *_stores(keys, environment),
        *_callbacks(keys),
        *_same(keys, "path", lambda route: route.path),
        *_same(keys, "name", route_name),
        *_policies(keys),
    ]


def _ports(keys: GatewayKeys) -> Iterator[Fault]:
    if keys.admin == keys.listen and keys.listen.port:
        yield Fault(("admin",), "must be another address than listen")


def _credentials(keys: GatewayKeys) -> Iterator[Fault]:
    """The gateway's own credential must not serve a whole network by oversight."""
    upstream = keys.upstream
    if bindings.own_credential(keys) and not _is_loopback(keys.listen.host) and not keys.auth:
        yield Fault(
            ("listen",),
            f"is beyond loopback, and upstream.{'bearer' if upstream.bearer else 'oauth'} would serve whoever reaches"
            " it; listen on 127.0.0.1, leave the bearer to the callers, or spell out `auth: none`",
        )
    for key, holder in ((("upstream",), upstream), (("upstream", "jobs_api"), upstream.jobs_api)):
        if holder and holder.bearer and holder.oauth:
            yield Fault((*key, "oauth"), "is a credential, and so is bearer; keep one")
        if holder and holder.oauth and holder.oauth.token_url and holder.oauth.authority:
            yield Fault((*key, "oauth", "authority"), "says where tokens are had, and so does token_url; keep one")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _stores(keys: GatewayKeys, environment: Mapping[str, str]) -> Iterator[Fault]:
    if keys.store.url and keys.store.data_dir:
        yield Fault(("store", "data_dir"), "is for the embedded store; give it or store.url, not both")
    if keys.store.url and not keyring_given(keys, environment):
        yield Fault(
            ("store", "url"),
            "needs a keyring that all replicas share; give keyring, keyring_file or the variable CALLMODE_KEYRING",
        )
    if keys.keyring and keys.keyring_file:
        yield Fault(("keyring_file",), "says where the keyring is, and so does keyring; keep one")
    if keys.store.timeout >= keys.store.lease:
        yield Fault(("store", "timeout"), "must be shorter than store.lease, or one slow command loses the jobs")
    yield from _shared_store(keys.store)


def _shared_store(store: StoreKeys) -> Iterator[Fault]:
    """What goes with a store's URL goes with the kind of store that it names."""
    address = parse(store.url) if store.url else Address()
    for name in ("username", "password"):
        if getattr(store, name) and (not store.url or getattr(address, name)):
            yield Fault(("store", name), "is for a store.url that does not say it")
    for name in ("sentinel_username", "sentinel_password"):
        if getattr(store, name) and address.topology is not Topology.SENTINEL:
            yield Fault(("store", name), "is for a store.url with redis+sentinel:// or rediss+sentinel://")
    for name in ("ca_file", "cert_file", "key_file"):
        if getattr(store, name) and not address.tls:
            yield Fault(("store", name), "is for TLS: a store.url that begins with rediss")
    if store.key_file and not store.cert_file:
        yield Fault(("store", "key_file"), "is the key of cert_file; give that too")
    if store.wait_replicas and not store.url:
        yield Fault(("store", "wait_replicas"), "is for a store.url; the embedded store has no replicas")
    if store.wait_replicas and store.wait_timeout >= store.timeout:
        yield Fault(("store", "wait_timeout"), "must be shorter than store.timeout, which ends the waiting")


def _same(keys: GatewayKeys, what: str, of: Callable[[RouteKeys], str]) -> Iterator[Fault]:
    """Two routes with one path could not be told apart, nor two with one name in records and logs."""
    first: dict[str, int] = {}
    for index, route in enumerate(keys.routes):
        other = first.setdefault(of(route), index)
        if other != index:
            yield Fault(("routes", index, what), f"is that of routes[{other}] too; give each route its own")


def _policies(keys: GatewayKeys) -> Iterator[Fault]:
    """Check each policy, a key that comes from the defaults being a fault only there."""
    if keys.defaults.upstream_mode is UpstreamMode.JOBS and not keys.routes:
        yield Fault(("defaults", "upstream_mode"), "is Jobs, which only routes can have: each names its process")
    found = list(_policy(keys, keys.defaults, policy(keys), ("defaults",)))
    yield from found
    already = {(fault.key[-1], fault.message) for fault in found}
    for index, route in enumerate(keys.routes):
        for fault in _policy(keys, route, policy(keys, route), ("routes", index)):
            if (fault.key[-1], fault.message) not in already:
                yield fault
        yield from bindings.bound(keys, route, policy(keys, route), ("routes", index))


def _policy(keys: GatewayKeys, said: PolicyKeys, meant: Policy, key: Key) -> Iterator[Fault]:
    yield from _modes(keys, said, meant, key)
    if meant.start_retry > meant.wait:
        yield Fault((*key, "start_retry"), "must not be longer than wait, after which nobody waits for the start")
    if meant.pace.floor > meant.pace.ceiling:
        yield Fault((*key, "poll_floor"), "must not be longer than poll_ceiling")
    yield from bindings.doubts(keys, meant, key)
    if meant.callback_url:
        yield from _callback_url(keys, meant.callback_url, (*key, "callback_url"))


def _callbacks(keys: GatewayKeys) -> Iterator[Fault]:
    if keys.callbacks.secret and keys.callbacks.secrets:
        yield Fault(("callbacks", "secret"), "is one, and secrets are several; give them all in secrets, newest first")


def _modes(keys: GatewayKeys, said: PolicyKeys, meant: Policy, key: Key) -> Iterator[Fault]:
    if not meant.track:
        if meant.caller_mode is not CallerMode.FORGET:
            yield Fault((*key, "track"), "can be off only with `caller_mode: forget`; say so too")
        if "modes" in said.model_fields_set and set(said.modes) != {CallerMode.FORGET}:
            yield Fault((*key, "modes"), "must be [forget] or left out where track is off")
    elif meant.caller_mode and meant.caller_mode not in meant.allowed_modes:
        yield Fault((*key, "caller_mode"), f"is {meant.caller_mode}, which modes leaves out; name one of modes")
    if meant.caller_mode is CallerMode.CALLBACK and not keys.callbacks.allow:
        yield Fault((*key, "caller_mode"), "is callback, and callbacks are off; name the receivers in callbacks.allow")


def _callback_url(keys: GatewayKeys, url: str, key: Key) -> Iterator[Fault]:
    """Ask the guard that will decide on each delivery; where a name leads, only the delivery itself can see."""
    if urlsplit(url).scheme == "http" and not keys.callbacks.insecure:
        yield Fault(key, "must be https, or callbacks.insecure on")
    try:
        Guard(msgspec.structs.replace(callbacks(keys.callbacks), insecure=True)).check(url)
    except Refused:
        yield Fault(key, "names a host that callbacks.allow does not; add it there")
