"""`${env:NAME}`, `${env:NAME:-default}` and `${file:path}` inside any text of the configuration.

`$${` stands for a literal `${`. A default takes the place of a variable that is unset or empty, as in a POSIX shell.
A file is read as UTF-8, its path taken from the configuration's own directory, line ends at its end dropped: secrets
mounted as files usually end in one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<kind>env|file):(?P<what>[^}]+)\}|\$\{[^}]*\}?")


class Interpolated(str):
    """Text that came, in part or whole, from outside the file. It may be a secret: no message repeats it."""

    __slots__ = ()


def interpolator(environment: Mapping[str, str], directory: Path) -> Callable[[str], str]:
    """Return what fills in the references of one text; it raises ValueError naming one that cannot be filled in."""

    def fill(reference: re.Match[str]) -> str:
        match reference["kind"], reference["what"]:
            case "env", what:
                return _variable(what, environment)
            case "file", what:
                return _content(what, directory)
            case _ if reference[0] == "$${":
                return "${"
        # Not repeated: it may be part of a password that merely looks like a reference.
        raise ValueError("what begins with ${ must be ${env:NAME} or ${file:path}; write $${ for a literal ${")

    def interpolate(text: str) -> str:
        filled = _REFERENCE.sub(fill, text)
        return Interpolated(filled) if filled != text else text

    return interpolate


def _variable(what: str, environment: Mapping[str, str]) -> str:
    name, has_default, default = what.partition(":-")
    if has_default:
        return environment.get(name) or default
    if name not in environment:
        raise ValueError(f"the environment variable {name} is not set; set it, or give a default: ${{env:{name}:-…}}")
    return environment[name]


def _content(what: str, directory: Path) -> str:
    path = directory / Path(what).expanduser()
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not UTF-8 text") from None
