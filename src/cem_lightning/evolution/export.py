"""action=export: the model of a finished run as a folder for plain transformers, with its card.

The folder appears whole or not at all, and only after it was read back and compared.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.loop import Course, Round
from cem_lightning.evolution.prepare import Prepared, prepare, stored_course
from cem_lightning.evolution.record import make_record
from cem_lightning.evolution.stage_log import claimed
from cem_lightning.evolution.stored import read_passages
from cem_lightning.knowledge.records import Passage
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.wording import Wording
from cem_lightning.storage.atomic import publish_folder, write_json, write_text
from cem_lightning.storage.digests import digest_file, digest_value

if TYPE_CHECKING:
    from cem_lightning.models.export import Verification

_MARK = "cem_lightning.json"  # the folder is an export of ours, and these are its files
_PROMPTS = 256


def export_model(config: Config) -> Path:
    """Write the model of `export.round`, upload it where asked, and return its folder.

    Raises:
        UserError: if the run is not finished or has no such round, the folder holds something
            else, the merged model is not base plus adapter, or the upload fails. Unless it is the
            upload that failed, nothing is left behind.
    """
    from cem_lightning.evolution.upload import check_name, upload
    from cem_lightning.models.export import write_model
    from cem_lightning.models.licence import NAMES
    from cem_lightning.reporting.progress import make_progress

    number = _refuse_no_round(config)
    if config.export.push_to_hub is not None:
        check_name(config.export.push_to_hub)
    prepared = prepare(config)
    folder = (config.export.folder or config.folder / "export").expanduser()
    with claimed(config.folder), _fresh_folder(folder) as work, make_progress() as progress:
        base, course = stored_course(prepared)
        current, weights = _trained_round(course, number)
        with progress.stage(f"export · round {current.number}"):
            prompts = _prompts(prepared.pools, config)
            verification = write_model(base.path, weights, config.model, prompts, work)
            for pattern in NAMES:
                for file in base.path.glob(pattern):
                    shutil.copyfile(file, work / file.name)
            write_text(work / "README.md", _card(prepared, course, current, work, verification))
            write_json(work / _MARK, {"round": current.number, "files": _files(work)})
    print(f"model: {folder}")
    if config.export.push_to_hub is not None:
        print(f"on the hub: {upload(folder, config.export.push_to_hub)}")
    return folder


def _refuse_no_round(config: Config) -> int | None:
    """The round asked for; None is the last.

    Raises:
        UserError: if there cannot be such a round.
    """
    number = config.export.round
    if config.rounds == 0:
        raise UserError(
            "rounds: 0 is the untrained arm, so there is no trained model to export. Give the "
            "command of a run with rounds=1 or more."
        )
    if number is not None and number > config.rounds:
        raise UserError(
            f"export.round: {number}, but the run has rounds={config.rounds}. Set export.round to "
            f"1..{config.rounds}, or leave it out for the last."
        )
    return number


def _trained_round(course: Course, number: int | None) -> tuple[Round, Path]:
    """The round to export, and its weights, which are there.

    Raises:
        UserError: if there is no such round, or its weights were freed.
    """
    last = course.rounds[-1].number
    current = course.last if number is None else course.rounds[min(last, number)]
    if current.number == 0 < last:
        raise UserError(
            "export.round: with verdict.keep_previous=true every round was rejected, so the "
            f"untouched model is what is left. Set export.round to 1..{last} to export one of them."
        )
    if current.weights is None or (number is not None and number > last):
        remedy = f"Set export.round to 1..{last}." if last else "There is nothing to export."
        raise UserError(
            f"export.round: the run stopped after round {last}: {course.stopped}. {remedy}"
        )
    if not current.weights.path.exists():
        raise UserError(
            f"export.round: the weights of round {current.number} were freed by action=prune. "
            f"Delete {current.weights.path.parent} and give the same command with action=run, "
            "which trains them again."
        )
    return current, current.weights.path


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to work in, which replaces `folder` at the end if nothing goes wrong.

    Raises:
        UserError: if `folder` holds anything but an earlier export, or another process exports
            to it.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # what lies beside it under any name that somebody else would give is not ours to delete
    work, old, lock_file = (
        folder.with_name(f".{folder.name}.cem_lightning.{each}") for each in ("work", "old", "lock")
    )
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"export.folder: another process is exporting to {folder}; wait for it, or set "
            "another export.folder."
        ) from None
    try:
        for each in (work, old):  # of one that was killed
            shutil.rmtree(each, ignore_errors=True)
        _refuse_foreign(folder)
        work.mkdir()
        yield work
        if folder.exists():
            folder.rename(old)
        publish_folder(work, folder)
    finally:
        for each in (work, old):
            shutil.rmtree(each, ignore_errors=True)
        lock_file.unlink(missing_ok=True)
        lock.release()


def _refuse_foreign(folder: Path) -> None:
    """Nothing is overwritten that we have not written, or that was changed since."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        ours = json.loads((folder / _MARK).read_text(encoding="utf-8"))["files"]
        names = [each for each in _names(folder) if each != _MARK]
        foreign = [each for each in names if each not in ours]
        kept = (each for each in names if each in ours)
        changed = [each for each in kept if ours[each] != digest_file(folder / each)]
    except (OSError, ValueError, LookupError, TypeError):
        changed = []
        foreign = _names(folder) if folder.is_dir() else [folder.name]
    if foreign:
        raise UserError(
            f"export.folder: {folder} holds what is no earlier export, such as {foreign[0]}. "
            "Set export.folder to a new folder, or move it away."
        )
    if changed:
        raise UserError(
            f"export.folder: {folder / changed[0]} was changed since it was exported, and would be "
            "overwritten. Set export.folder to a new folder, or move the file away."
        )


def _names(folder: Path) -> list[str]:
    """The files below a folder, by their path in it."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def _files(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a folder."""
    return {name: digest_file(folder / name) for name in _names(folder)}


def _prompts(pools: Pools, config: Config) -> list[str]:
    """The wording of questions evenly drawn from all pools."""
    wording = Wording(config.answering.method)
    asked = [question for _, pool in pools.items() for question in pool]
    step = -(-len(asked) // _PROMPTS)
    return [wording.prompt(question) for question in asked[::step]]


def _card(
    prepared: Prepared, course: Course, current: Round, work: Path, verification: Verification
) -> str:
    from cem_lightning.models.licence import base_licence, is_hub_id, public_name
    from cem_lightning.reporting.model_card import (
        CardFacts,
        control_arms,
        model_card,
        public_values,
        until_round,
    )

    config = prepared.config
    whole = make_record(config, prepared.pools, course)
    record = until_round(whole, current.number)
    hashes = {f"weights, {file.name}": digest_file(file) for file in work.glob("*.safetensors")}
    hashes = dict(sorted(hashes.items())) | {
        "questions of all pools": prepared.pools.digest,
        "corpus": prepared.corpus.digest,
        "configuration": digest_value(config.identity(rounds=True)),
        "wording of the questions": course.rounds[0].results["answer"].record["wording"],
    }
    texts = Counter(
        (each.licence, str(public_values(each.origin)))
        for each in _trained_passages(config, _learned_from(course, current))
    )
    facts = CardFacts(
        base=public_name(config.model.path),
        base_on_hub=is_hub_id(config.model.path),
        base_licence=base_licence(config.model.path, prepared.source),
        datasets=_datasets(config),
        hashes=hashes,
        texts=[(*key, count) for key, count in sorted(texts.items())],
        verified=_in_words(verification, config.model.dtype),
        total_rounds=whole.last_round,
    )
    return model_card(record, control_arms(record, config.runs, config.folder.parent), facts)


def _learned_from(course: Course, current: Round) -> list[Round]:
    """The rounds whose training the model of a round rests on, itself the last."""
    return [each for each in course.line[1:] if each.number < current.number] + [current]


def _datasets(config: Config) -> tuple[str, ...]:
    """The hub id of the questions, if they come from there."""
    from cem_lightning.models.licence import is_hub_id

    data = config.data
    if data.reader != "datasets" or not is_hub_id(data.path):
        return ()
    return (data.path,)


def _trained_passages(config: Config, rounds: Sequence[Round]) -> Iterator[Passage]:
    """The passages that are in the training sets of these rounds, each once."""
    from cem_lightning.corpus.arrow import open_examples

    name = "control.jsonl" if config.recipe.passages == "random" else "passages.jsonl"
    seen: set[str] = set()
    for current in rounds:
        rows = open_examples(current.results["assemble"].folder / "examples")
        used = {each for ids in rows["passage_ids"] for each in ids}
        for passage in read_passages(current.results["acquire"].folder / name):
            if passage.id in used and passage.id not in seen:
                seen.add(passage.id)
                yield passage


def _in_words(verification: Verification, dtype: str) -> str:
    """One sentence on how the written weights were checked."""
    found = (
        f"Before this folder appeared, transformers read it back: the logits of "
        f"{verification.prompts} prompts are to the bit those of the model in memory, and "
        f"{verification.encoded} prompts have the same token ids. "
    )
    if verification.change is None:
        return found + "The weights are, tensor by tensor, to the bit those that were trained."
    return found + (
        f"The adapter was merged in {dtype}: against base plus adapter the logits differ by "
        f"{verification.error:.1e} of their size (at most {verification.limit:.1e} is let "
        f"through); the adapter itself changes them by {verification.change:.1e}."
    )
