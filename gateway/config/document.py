"""YAML 1.2 text → plain data, and the place of every key in the file.

The node graph is read instead of constructed objects: it has line and column of everything, it shows all duplicate
keys at once, and no tag can make an object. `off`, `no` and `12:30` are text, as YAML 1.2 has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.config.errors import ConfigError, Fault, Key, spelled

_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge")}


class Place(NamedTuple):
    """Where something is said: a file's line and column, both from 1, or a flag."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return it as compilers and editors write places."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass
class Document:
    """The data of a configuration, and where each key of it stands."""

    name: str
    data: dict[str, object] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)

    def put(self, key: tuple[str, ...], value: object, place: Place) -> None:
        """Set a value over what the file says, as a flag does."""
        inside = self.data
        for part in key[:-1]:
            deeper = inside.get(part)
            inside[part] = inside = deeper if isinstance(deeper, dict) else {}
        inside[key[-1]] = value
        self.places[key] = place

    def drop(self, key: tuple[str, ...]) -> None:
        """Forget a value of the file, where there is one."""
        inside: object = self.data
        for part in key[:-1]:
            inside = inside.get(part) if isinstance(inside, dict) else None
        if isinstance(inside, dict):
            inside.pop(key[-1], None)

    def error(self, faults: list[Fault]) -> ConfigError:
        """Return faults as one error, in the order of the file."""
        placed = sorted(faults, key=lambda fault: self._place(fault.key))
        return ConfigError([f"{self._place(key)}: {spelled(key)}: {message}" for key, message in placed])

    def _place(self, key: Key) -> Place:
        """Return a key's place, or that of the nearest one around it."""
        around = (key[:end] for end in range(len(key), 0, -1))
        return next((self.places[key] for key in around if key in self.places), Place(self.name))


def read(path: Path, interpolate: Callable[[str], str]) -> Document:
    """Read a file. Raise ConfigError when it cannot be read, is no YAML, or is no mapping."""
    try:
        root = YAML(typ="safe", pure=True).compose(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: must be UTF-8 text: {error.reason} at byte {error.start}"]) from None
    except YAMLError as error:
        raise ConfigError([_syntax(path, error)]) from None
    if root is None:
        raise ConfigError([f"{path}: is empty; it must say at least `upstream: {{url: …}}`"])
    if not isinstance(root, MappingNode):
        raise ConfigError([f"{path}:{_place(root)}: must be a mapping of keys to values, such as `listen: …`"])
    reader = _Reader(path, interpolate)
    data = reader.mapping(root, ())
    document = Document(str(path), data, reader.places)
    if reader.faults:
        raise document.error(reader.faults)
    return document


class _Reader:
    """Walks the nodes of one file."""

    def __init__(self, path: Path, interpolate: Callable[[str], str]) -> None:
        self.path = path
        self.interpolate = interpolate
        self.places: dict[Key, Place] = {}
        self.faults: list[Fault] = []
        self.around: list[Node] = []

    def value(self, node: Node, key: Key) -> object:
        """Return a node's data, noting what is wrong with it."""
        if node in self.around:
            self.faults.append(Fault(key, f"the alias *{node.anchor} stands inside what it names; write it out"))
        elif node.tag not in _KNOWN_TAGS:
            self.faults.append(Fault(key, f"the tag {node.tag} means nothing here; leave it out"))
        elif isinstance(node, MappingNode):
            return self.mapping(node, key)
        elif isinstance(node, SequenceNode):
            return self.sequence(node, key)
        elif node.tag == _TAG + "null":
            self.faults.append(Fault(key, "has no value; give one, or leave the key out to have its default"))
        else:
            return self.scalar(node, key)
        return None

    def mapping(self, node: MappingNode, key: Key) -> dict[str, object]:
        """Return a mapping, its own keys over merged ones (`<<`)."""
        self.around.append(node)
        data: dict[str, object] = {}
        for name, value in node.value:
            if _is_merge(name):
                data |= self.merged(value, key)
        seen: set[str] = set()
        for name, value in node.value:
            if _is_merge(name):
                continue
            if not isinstance(name, ScalarNode):
                self.faults.append(Fault(key, f"a key at {_place(name)} is no plain text; write `name: value`"))
                continue
            self.note((*key, name.value), name, duplicate=name.value in seen)
            seen.add(name.value)
            data[name.value] = self.value(value, (*key, name.value))
        self.around.pop()
        return data

    def merged(self, node: Node, key: Key) -> dict[str, object]:
        """Return what `<<` brings in: one mapping, or several of which the first wins."""
        brought: dict[str, object] = {}
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            value = self.value(source, key)
            if isinstance(value, dict):
                brought = value | brought
            else:
                self.faults.append(Fault(key, "`<<` must be followed by a mapping, such as `<<: *name`"))
        return brought

    def sequence(self, node: SequenceNode, key: Key) -> list[object]:
        """Return a list."""
        self.around.append(node)
        items = []
        for index, item in enumerate(node.value):
            self.note((*key, index), item)
            items.append(self.value(item, (*key, index)))
        self.around.pop()
        return items

    def scalar(self, node: Node, key: Key) -> object:
        """Return a number, a truth value, or text with its references filled in."""
        text: str = node.value
        match str(node.tag).removeprefix(_TAG):
            case "bool":
                return text.lower() == "true"
            case "int":
                return _integer(text)
            case "float":
                return float(text.replace("_", ""))
        try:
            return self.interpolate(text)
        except ValueError as error:
            self.faults.append(Fault(key, str(error)))
            return None

    def note(self, key: Key, node: Node, *, duplicate: bool = False) -> None:
        """Keep a key's place; the second of two equal keys is a fault."""
        if duplicate:
            self.faults.append(Fault(key, f"stands here twice, again at {_place(node)}; keep one"))
        else:
            self.places[key] = Place(str(self.path), node.start_mark.line + 1, node.start_mark.column + 1)


def _is_merge(name: Node) -> bool:
    return name.tag == _TAG + "merge"


def _integer(text: str) -> int:
    """Read `8`, `1_000`, `0o17`, `0x1F`; `08` is eight in YAML 1.2."""
    try:
        return int(text)
    except ValueError:
        return int(text, 0)


def _place(node: Node) -> str:
    return f"{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _syntax(path: Path, error: YAMLError) -> str:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return f"{path}: is no YAML: {str(error).splitlines()[0]}"
    hint = "; indent with spaces" if "'\\t'" in (error.problem or "") else ""
    place = Place(str(path), error.problem_mark.line + 1, error.problem_mark.column + 1)
    return f"{place}: is no YAML: {', '.join(part for part in (error.context, error.problem) if part)}{hint}"
