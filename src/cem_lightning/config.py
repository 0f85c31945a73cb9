"""Checks a configuration, as Hydra has composed it, and tells every problem at once.

Reads plain values and knows nothing of Hydra.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cem_lightning.errors import UserError, nearest
from cem_lightning.evolution.config import Config
from cem_lightning.secrets import secrets_in


def validate(values: Mapping[str, Any]) -> Config:
    """The checked configuration.

    Raises:
        UserError: listing every problem at once, each with its key and the nearest valid name.
    """
    if found := list(secrets_in(values)):  # before anything that shows values
        raise UserError(_listed(found))
    missing = list(_missing(values))
    if missing:
        raise UserError(_listed([f"{key}: must be set, for instance {key}=..." for key in missing]))
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UserError(_listed([_problem(each, values) for each in error.errors()])) from None
    if found := list(_flags_for_numbers(values, config.model_dump())):
        raise UserError(_listed(found))
    return config


def known_keys() -> list[str]:
    """Every key that some configuration has, with dots between its parts."""
    return list(dict.fromkeys(_keys_of(Config)))


def _keys_of(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield before + name
        for each in _models(field.annotation):
            yield from _keys_of(each, f"{before}{name}.")


def _flags_for_numbers(given: Any, taken: Any, key: str = "") -> Iterator[str]:
    """Keys that pydantic has read true or false for as 1 or 0."""
    if isinstance(given, Mapping) and isinstance(taken, Mapping):
        for name, value in given.items():
            yield from _flags_for_numbers(value, taken[name], f"{key}.{name}" if key else name)
    elif isinstance(given, bool) and not isinstance(taken, bool):
        yield f"{key}: a number is wanted (found {str(given).lower()})"


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems in the configuration:\n" + "\n".join(
        f"  - {problem}" for problem in problems
    )


def _missing(values: Any, key: str = "") -> Iterator[str]:
    """Keys whose value is Hydra's mark for "must be set"."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from _missing(value, f"{key}.{name}" if key else str(name))
    elif values == "???":
        yield key


def _problem(error: Any, values: Mapping[str, Any]) -> str:
    """One line for one of pydantic's errors."""
    location = [part for part in error["loc"] if isinstance(part, str | int)]
    path, model = _walk(location, values)
    key = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        known = list(model.model_fields) if model else []
        hint = nearest(str(path[-1]), known)
        return f"{key}: there is no such key{hint or '; known here: ' + ', '.join(known)}"
    if error["type"] == "missing":
        return f"{key}: must be set"
    found = error["input"]
    if error["type"] in ("tuple_type", "list_type"):
        return f"{key}: a list is wanted, for instance '{key}=[{found}]'"
    message = error["msg"].removeprefix("Value error, ")
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool | None) else ""
    expected = error.get("ctx", {}).get("expected", "")
    hint = nearest(str(found), str(expected).replace("'", "").replace(" or ", ", ").split(", "))
    return f"{key}: {message}{shown}{hint if expected else ''}"


def _walk(
    location: Sequence[str | int], values: Any
) -> tuple[list[str | int], type[BaseModel] | None]:
    """The key as the user wrote it (pydantic adds the tags of unions), and the model it is in."""
    model: type[BaseModel] | None = Config
    path: list[str | int] = []
    parts = list(location)
    while parts:
        part = parts.pop(0)
        path.append(part)
        if not parts:
            break
        field = model.model_fields.get(str(part)) if model else None
        annotation: Any = field.annotation if field else None
        if get_origin(annotation) is dict:
            path.append(parts.pop(0))  # a name that the user gave
            annotation = get_args(annotation)[1]
        options = _models(annotation) if field else []
        model = options[0] if len(options) == 1 else None
        if len(options) > 1 and parts:
            tag = parts.pop(0)
            model = next((each for each in options if _has_tag(each, tag)), None)
    return path, model


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The config models an annotation allows."""
    if get_origin(annotation) is Annotated:
        return _models(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [model for each in get_args(annotation) for model in _models(each)]
    return (
        [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    )


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    """Is this the option of a union that the discriminator value `tag` picks?"""
    return any(get_args(field.annotation) == (tag,) for field in model.model_fields.values())
