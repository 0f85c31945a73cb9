"""Questions from any data set that the package `datasets` can load, by a map of its columns.

Downloads what is not on the disk yet, as `datasets` does; knows no data set by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

from cem_lightning.errors import UserError, nearest
from cem_lightning.questions.config import Columns, DatasetsData
from cem_lightning.questions.readers import QuestionFile, parse_rows

_OPTIONAL = ("id", "subject", "cluster", "blind")
_SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves in its folder


def read_split(config: DatasetsData, split: str, key: str) -> QuestionFile:
    """The questions of one split.

    Rows that are of the right form but cannot be used are left out, as of any published set.

    Args:
        split: name of the split; a folder that holds a single table has none to choose from.
        key: the config key that named the split, for messages.

    Raises:
        UserError: if the data set cannot be had, with the next step, or lacks the split or a
            column, with those there are.
    """
    table = _table(config, split, key)
    columns = _resolved(config.columns, table, f"{config.path}, split {split}")
    rows = (
        (f"{config.path}, {split}, row {number}", f"{split}-{number}", row)
        for number, row in enumerate(_rows(table, columns))
    )
    return parse_rows(rows, [], digits=True, lenient=True)


def _table(config: DatasetsData, split: str, key: str) -> Any:
    from datasets import Dataset, load_dataset, load_from_disk
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.utils.logging import set_verbosity_error

    folder = Path(config.path).expanduser()
    if not folder.exists() and config.path.startswith((".", "/", "~")):
        raise UserError(
            f"data.path: the folder {config.path} does not exist; give a folder that `datasets` "
            "saved (save_to_disk), or the id of a data set on the hub."
        )
    if any((folder / name).exists() for name in _SAVED):
        try:
            saved = load_from_disk(str(folder))
        except (OSError, ValueError, KeyError, DatasetsError) as error:
            _refuse(config, "cannot be read; save it anew with save_to_disk", error)
        if isinstance(saved, Dataset):
            if key != "split":
                raise UserError(
                    f"data.{key}: {config.path} holds a single table and so no split {split!r}; "
                    "set it to null, or save a DatasetDict."
                )
            return saved
        if split not in saved:
            hint = nearest(split, saved) or f"; it has {', '.join(saved)}"
            raise UserError(f"data.{key}: {config.path} has no split {split!r}{hint}")
        return saved[split]
    # it would tell of every retry, and the error below says it once
    set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return load_dataset(
            str(folder) if folder.exists() else config.path, config.name, split=split
        )
    except DatasetNotFoundError as error:  # its message tells missing from gated
        _refuse(
            config,
            "cannot be had. Check the spelling of data.path; if it is gated, accept its terms on "
            "its page of the hub and log in with: hf auth login",
            error,
        )
    except ConnectionError as error:
        _refuse(
            config,
            "is neither a folder nor in the cache, and the hub cannot be reached. Load it once "
            "where there is a network, save it with save_to_disk and give that folder",
            error,
        )
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        _refuse(config, f"cannot be loaded (data.name={config.name}, data.{key}={split})", error)


def _refuse(config: DatasetsData, told: str, error: Exception) -> Never:
    why = " ".join(str(error).split())
    shown = why if len(why) <= 300 else why[:297] + "..."
    raise UserError(f"data.path: {config.path} {told}. `datasets` says: {shown}") from error


def _resolved(columns: Columns, table: Any, where: str) -> dict[str, list[str]]:
    """The columns of each field; a map that names one that is not there is refused."""
    given = {
        field: [value] if isinstance(value, str) else list(value)
        for field, value in columns
        if value is not None
    }
    for field, names in given.items():
        for name in names:
            if name not in table.column_names:
                there = ", ".join(table.column_names)
                raise UserError(
                    f"data.columns.{field}: {where} has no column {name!r}"
                    f"{nearest(name, table.column_names)}; it has {there}."
                )
    return given


def _rows(table: Any, columns: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Rows with the fields that `parsing` knows."""
    from datasets import ClassLabel

    wanted = list(dict.fromkeys(name for names in columns.values() for name in names))
    table = table.with_format(None).select_columns(wanted)
    labels = {
        name: feature for name, feature in table.features.items() if isinstance(feature, ClassLabel)
    }
    for raw in table:
        named = {
            name: labels[name].int2str(value)
            if name in labels and isinstance(value, int) and value >= 0
            else value
            for name, value in raw.items()
        }
        yield _row(named, columns)


def _row(named: dict[str, Any], columns: dict[str, list[str]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for field, names in columns.items():
        value = named[names[0]]
        if field == "choices":
            value = named[names[0]] if len(names) == 1 else _filled([named[each] for each in names])
        elif field in _OPTIONAL and value in (None, ""):
            continue
        elif field in _OPTIONAL and isinstance(value, int):
            value = str(value)
        row[field] = value
    held = row.get("choices")
    if isinstance(held, dict) and isinstance(held.get("text"), list):
        # As in ARC and OpenBookQA: texts beside the labels that the answer names.
        row["choices"] = held["text"]
        if row["answer"] in (held.get("label") or []):
            row["answer"] = held["label"].index(row["answer"])
    return row


def _filled(cells: list[Any]) -> list[Any]:
    """Choices up to the last that is there."""
    while cells and cells[-1] in (None, ""):
        cells = cells[:-1]
    return cells
