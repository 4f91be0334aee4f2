"""The kinds of value that keys of the file have: how each is read, shown again, and described in the JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from gateway.config import addresses, scalars, units
from gateway.config.interpolation import Interpolated
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import LongPolls, OnDisconnect, OnTimeout, SameCall
from gateway.store import settings
from gateway.web.settings import Address


def _as_it_is(value: object) -> object:
    return value


_REFERENCE = {"type": "string", "pattern": r"\$\{"}


@dataclass(frozen=True)
class Parsed:
    """How pydantic reads, shows and describes one kind of value."""

    parse: Callable[[object], object]
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    show: Callable[[Any], object] = _as_it_is
    """The value as the file would say it, for defaults."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        shown = core_schema.plain_serializer_function_ser_schema(self.show)
        return core_schema.no_info_plain_validator_function(self.parse, serialization=shown)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A reference may stand for any value, so an editor must not mark it."""
        if self.schema == {"type": "string"}:
            return dict(self.schema)
        forms = self.schema.get("anyOf", [self.schema])
        return {"anyOf": [*forms, _REFERENCE]}


def one_of(words: Mapping[str, object], plain: Mapping[int, object] | None = None) -> Parsed:
    """Return how one of some words is read, or of some numbers or truth values (`plain`), and what each means."""
    plain = plain or {}
    spelled = {str(value).lower(): meaning for value, meaning in plain.items()}

    def parse(value: object) -> object:
        if isinstance(value, Interpolated) and value in spelled:
            return spelled[value]
        for known, meaning in (*words.items(), *plain.items()):
            if value == known and isinstance(value, type(known)):
                return meaning
        raise ValueError(f"must be {'one of ' * (len(words) + len(spelled) > 1)}{', '.join(words or spelled)}")

    shown = {meaning: value for value, meaning in (*plain.items(), *words.items())}
    return Parsed(parse, {"enum": [*words, *plain]}, shown.get)


@dataclass(frozen=True)
class Switchable:
    """A section that `on` stands for, where all its keys have defaults."""

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_section, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """`on`, or the section."""
        return {"anyOf": [{"enum": ["on", True]}, handler(schema)]}


def _section(value: object) -> object:
    return {} if value is True or value == "on" else value


def _words(*words: str) -> Parsed:
    return one_of({word: word for word in words})


def _matching(pattern: str) -> dict[str, object]:
    return {"type": "string", "pattern": pattern}


_TEXT = {"type": "string"}
_ADDRESS = _matching(":[0-9]+$")

Name = Annotated[str, Parsed(scalars.name, _TEXT)]
KeyPrefix = Annotated[str, Parsed(scalars.key_prefix, _matching("^[A-Za-z0-9._:-]+$"))]
Text = Annotated[str, Parsed(scalars.text, _TEXT)]
Number = Annotated[int, Parsed(scalars.number, {"type": "integer", "minimum": 0})]
Count = Annotated[int, Parsed(scalars.count, {"type": "integer", "minimum": 1})]
Workers = Annotated[
    int | None,
    Parsed(
        scalars.workers,
        {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["auto"]}]},
        lambda workers: workers or "auto",
    ),
]
Switch = Annotated[bool, one_of({"on": True, "off": False}, {True: True, False: False})]
Duration = Annotated[int, Parsed(units.duration, units.DURATION, units.show_duration)]
Positive = Annotated[int, Parsed(units.positive, units.DURATION, units.show_duration)]
Size = Annotated[int, Parsed(units.size, units.SIZE, units.show_size)]
FilePath = Annotated[Path, Parsed(scalars.file_path, _TEXT, str)]

Listen = Annotated[Address, Parsed(addresses.address, _ADDRESS, str)]
ListenOrOff = Annotated[
    Address | None,
    Parsed(
        addresses.address_or_off,
        {"anyOf": [_ADDRESS, {"enum": ["off", False]}]},
        lambda address: "off" if address is None else str(address),
    ),
]
Network = Annotated[addresses.Network, Parsed(addresses.network, _TEXT, str)]
HostPattern = Annotated[str, Parsed(addresses.host_pattern, _TEXT)]
ReceiverPattern = Annotated[str, Parsed(addresses.receiver_pattern, _TEXT)]
HttpUrl = Annotated[str, Parsed(addresses.http_url, _matching("^https?://"))]
UpstreamUrl = Annotated[str, Parsed(addresses.upstream_url, _matching("^https?://"))]
ReceiverUrl = Annotated[str, Parsed(addresses.receiver_url, _matching("^https?://"))]
StoreUrl = Annotated[str, Parsed(addresses.store_url, _matching("^(rediss?(\\+(sentinel|cluster))?|unix)://"))]
Origin = Annotated[str, Parsed(addresses.origin, _matching("^(https?://.+|\\*)$"))]

GatewayPath = Annotated[str, Parsed(scalars.gateway_path, _matching("^/"))]
Guid = Annotated[str, Parsed(scalars.guid, _matching("^[0-9A-Fa-f-]{36}$"))]
TriggerPath = Annotated[str, Parsed(scalars.trigger_path, _matching("^/t/"))]
Bearer = Annotated[str, Parsed(scalars.bearer, _TEXT)]
WebhookSecret = Annotated[str, Parsed(scalars.webhook_secret, _matching("^whsec_"))]

NoAuth = Annotated[bool, one_of({"none": True})]
Durability = Annotated[settings.Durability, _words(*get_args(settings.Durability))]
LogFormat = Annotated[str, _words("auto", "json", "console")]
LogLevel = Annotated[str, _words("debug", "info", "warning", "error")]
Method = Annotated[str, _words("GET", "POST", "PUT", "DELETE", "PATCH")]

AUTO = "auto"
"""The name of no mode: of the choice between them."""

UpstreamModeName = Annotated[
    UpstreamMode | str | None, one_of({mode.value: mode for mode in UpstreamMode} | {AUTO: AUTO, "trigger": None})
]
LongPollsName = Annotated[
    LongPolls, one_of({each.value: each for each in LongPolls}, {True: LongPolls.ON, False: LongPolls.OFF})
]
CallerModeName = Annotated[CallerMode | None, one_of({mode.value: mode for mode in CallerMode} | {"upstream": None})]
AllowedMode = Annotated[CallerMode, one_of({mode.value: mode for mode in CallerMode})]
OnTimeoutName = Annotated[OnTimeout, one_of({choice.value: choice for choice in OnTimeout})]
OnDisconnectName = Annotated[OnDisconnect, one_of({choice.value: choice for choice in OnDisconnect})]
SameCallName = Annotated[SameCall, one_of({part.value: part for part in SameCall})]
RedirectStatus = Annotated[int, one_of({}, {303: 303, 302: 302})]
RunningStatus = Annotated[int, one_of({}, {200: 200, 202: 202})]
