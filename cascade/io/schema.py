"""JSON in, frozen dataclasses out: every field of the declared type, none missing, none unknown, nothing coerced."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

#: No JSON that the package reads is longer; the shipped specs and recipes have a few kB.
MAX_JSON_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """Read a JSON file's text, unless it is too long to be one of ours.

    Raises
    ------
    ValueError
        It has more than `MAX_JSON_BYTES`, or is not UTF-8.
    """
    with path.open("rb") as stream:
        content = stream.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"expected at most {MAX_JSON_BYTES >> 20} MiB of JSON; the file is longer")
    return content.decode("utf-8")


def load(text: str) -> dict[str, Any]:
    """Parse a JSON object of finite numbers.

    Raises
    ------
    ValueError
        The text is no JSON, no object, nested too deeply, or holds NaN or Infinity.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"expected an object; found {_kind_of(content)}")
    return content


def build(kind: type[T], content: object, where: str = "") -> T:
    """Turn parsed JSON into a dataclass, checking each field against its annotation.

    Understood are str, int, float, bool, Any, tuples, mappings with text as keys, dataclasses of these, and each of them or None.

    Raises
    ------
    ValueError
        A field is missing, unknown or of another type; the message names it.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Patch:
    ...     shape: tuple[int, int]
    ...     batch: int = 1
    >>> build(Patch, {"shape": [8, 16]})
    Patch(shape=(8, 16), batch=1)
    >>> build(Patch, {"shape": [8, "16"]})
    Traceback (most recent call last):
    ValueError: shape[1]: expected int; found str
    """
    if not isinstance(content, dict):
        _refuse(where, "an object", content)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [name for name in content if name not in fields]
    if unknown:
        raise ValueError(f"{_at(where, str(unknown[0])[:40])}: expected no such entry")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in content:
            raise ValueError(f"{_at(where, name)}: expected this entry; it is missing")
    types = get_type_hints(kind)
    values = {name: _value(types[name], value, _at(where, name)) for name, value in content.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{_at(where, str(error))}") from error


def _value(kind: Any, value: object, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is UnionType:  # X | None
        (kind,) = (each for each in get_args(kind) if each is not type(None))
        return None if value is None else _value(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return build(kind, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            _refuse(where, "an object", value)
        return {key: _value(get_args(kind)[1], item, f"{where}.{key[:40]}") for key, item in value.items()}
    if kind is float:
        return _number(value, where)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        _refuse(where, kind.__name__, value)
    return value


def _tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _refuse(where, "a list", value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise ValueError(f"{where}: expected {len(kinds)} values; found {len(value)}")
    return tuple(_value(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(where, "a number", value)
    if isinstance(value, int) and abs(value) < 2**53:
        return value  # stays as it was written
    if isinstance(value, int) or not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number")
    return value


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _kind_of(value: object) -> str:
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(value), type(value).__name__)


def _refuse(where: str, expected: str, value: object) -> NoReturn:
    raise ValueError(f"{where or 'the whole'}: expected {expected}; found {_kind_of(value)}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"expected finite numbers; found {name}")
