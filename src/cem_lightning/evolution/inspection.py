"""action=inspect: prompts as the model sees them, and the training examples of a finished run.

Gathers what is shown; the looks of it are the business of `reporting.inspection`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cem_lightning.corpus.config import KINDS
from cem_lightning.corpus.examples import Example
from cem_lightning.errors import UserError, nearest
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.loop import Course, Round
from cem_lightning.evolution.prepare import Prepared, prepare, stored_course
from cem_lightning.evolution.runner import Runner
from cem_lightning.evolution.stored import read_passages
from cem_lightning.knowledge.records import Passage
from cem_lightning.models.encoding import Encoder, common_prefix
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import PoolName, Question
from cem_lightning.questions.wording import LETTERS, Wording
from cem_lightning.reporting.inspection import (
    Inspection,
    Piece,
    ShownExample,
    ShownPrompt,
    ShownQuestion,
    ShownResponse,
    ShownRound,
    print_inspection,
)
from cem_lightning.storage.store import Part, Store

_LONGEST = 8  # tokens that may make a piece; a character has four bytes


def inspect_run(config: Config) -> None:
    """Print prompts and training examples, token by token.

    With a finished run, the training examples of `inspect.round`; without one, or if a question
    is named, the prompts of that question or of the first of each pool.

    Raises:
        UserError: if there is no such question or round, or examples were asked for and the run
            is not finished.
    """
    from cem_lightning.models.loading import load_encoder

    _refuse_no_round(config)
    prepared = prepare(config)
    named = find_question(prepared.pools, config.question) if config.question else None
    base, course, missing = _course(prepared)
    encoder, _ = load_encoder(base.path, config.model)
    encoder = encoder.with_shots(Wording(config.answering.method).solved(prepared.pools.shots))
    notes: list[str] = []
    examined: ShownRound | None = None
    if course is not None and config.rounds:
        examined = _shown_round(config, course, encoder, named)
    elif missing is not None and config.rounds:
        notes.append(f"No training examples to show: {missing}")
    asked = [named] if named else []
    if examined is None and not asked:
        asked = [(name, pool[0]) for name, pool in prepared.pools.items() if pool]
    shown = tuple(
        ShownQuestion(question.id, name, tuple(_prompts(prepared, encoder, name, question, notes)))
        for name, question in asked
    )
    print_inspection(Inspection(config.name, config.model.path, shown, examined, tuple(notes)))


def find_question(pools: Pools, id: str) -> tuple[PoolName, Question]:
    """The question of this id, and its pool.

    Raises:
        UserError: if there is none, with the nearest id.
    """
    for name, pool in pools.items():
        for question in pool:
            if question.id == id:
                return name, question
    known = [question.id for _, pool in pools.items() for question in pool]
    hint = nearest(id, known) or f"; ids look like {known[0]!r}"
    raise UserError(f"question: there is no question {id!r} in any pool{hint}")


def passages_so_far(course: Course, current: Round) -> Mapping[str, Passage]:
    """All passages that a round may have trained on, by id."""
    return {
        passage.id: passage
        for each in course.rounds[1 : current.number + 1]
        for stage, name in (
            ("acquire", "passages.jsonl"),
            ("acquire", "control.jsonl"),
            ("supply", "synthetic.jsonl"),
        )
        if stage in each.results
        for passage in read_passages(each.results[stage].folder / name)
    }


def pieces(
    tokenizer: Any, ids: Sequence[int], taught: Sequence[bool], controls: frozenset[int]
) -> tuple[Piece, ...]:
    """Token ids as text that can be read; tokens that share a character stay together.

    Args:
        ids: token ids.
        taught: one flag a token.
        controls: ids of control tokens.
    """
    found: list[Piece] = []
    before: tuple[int, ...] = ()  # some tokenizers swallow the space of the very first token
    at = 0
    while at < len(ids):
        end = at + 1
        if ids[at] not in controls:
            while (
                "\ufffd" in _decoded(tokenizer, before, ids[at:end])
                and end < len(ids)
                and end - at < _LONGEST
                and ids[end] not in controls
                and taught[end] == taught[at]
            ):
                end += 1
        text = _decoded(tokenizer, before, ids[at:end])
        if "\ufffd" in text:  # no character after all: one token, by its own name
            end = at + 1
            text = str(tokenizer.convert_ids_to_tokens(ids[at]))
        before = tuple(ids[at:end])
        found.append(Piece(before, text, bool(taught[at]), ids[at] in controls))
        at = end
    return tuple(found)


def _decoded(tokenizer: Any, before: Sequence[int], ids: Sequence[int]) -> str:
    """The text that `ids` add after the ids `before` them."""
    known = _decode(tokenizer, before)
    return _decode(tokenizer, (*before, *ids))[len(known) :]


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    )


def _refuse_no_round(config: Config) -> None:
    number = config.inspect.round
    if number is not None and number > config.rounds:
        raise UserError(
            f"inspect.round: {number}, but the run has rounds={config.rounds}. "
            + (
                f"Set inspect.round to 1..{config.rounds}, or leave it out for the last."
                if config.rounds
                else "The untrained arm has no training examples; leave inspect.round out."
            )
        )


def _course(prepared: Prepared) -> tuple[Part, Course | None, UserError | None]:
    """The untouched model, and the finished run or what is missing of it.

    Raises:
        UserError: if examples were asked for and the run is not finished.
    """
    from cem_lightning.reporting.progress import make_progress

    config = prepared.config
    try:
        return *stored_course(prepared), None
    except UserError as error:
        if config.inspect.round is not None or config.inspect.kind is not None:
            raise
        with make_progress() as progress:
            return prepared.model(Runner(Store(config.store_dir), progress)), None, error


def _prompts(
    prepared: Prepared, encoder: Encoder, pool: PoolName, question: Question, notes: list[str]
) -> Iterator[ShownPrompt]:
    """A question in every form that the run asks it in; what cannot be shown goes to `notes`."""
    config = prepared.config.answering
    wording = Wording(config.method)
    yield _prompt(prepared, encoder, question, "closed book", wording.prompt(question))
    if config.blind and question.blind is not None:
        prompt = wording.prompt(question, blind=True)
        yield _prompt(prepared, encoder, question, "name-blind", prompt)
    if not config.open_book_passages or pool != "heldout":
        return
    if not prepared.corpus.documents:
        notes.append(
            "The open-book prompt is not shown: its passages would have to be fetched first."
        )
        return
    from cem_lightning.knowledge.open_book import open_book

    found = open_book(
        [question],
        prepared.corpus,
        prepared.config.knowledge,
        config.open_book_passages,
        encoder.count,
    )
    prompt = wording.prompt(question, passages=found[question.id])
    yield _prompt(prepared, encoder, question, "open book", prompt)


def _prompt(
    prepared: Prepared, encoder: Encoder, question: Question, form: str, prompt: str
) -> ShownPrompt:
    """The tokens of a prompt and, apart, of each response: as `answering.scoring` parts them."""
    config = prepared.config.answering
    wording = Wording(config.method)
    start = encoder.prompt(prompt)
    whole = [
        encoder.continuation(prompt, wording.response(question, index))
        for index in range(len(question.choices))
    ]
    split = min(common_prefix(start, ids) for ids in whole)
    split = min(split, *(len(ids) - 1 for ids in whole))

    def shown(ids: Sequence[int], taught: bool) -> tuple[Piece, ...]:
        return pieces(encoder.tokenizer, ids, [taught] * len(ids), encoder.control_ids)

    written = f"the model writes at most {config.response_tokens} tokens"
    if question.short:
        note = f"{written}; it is right by exact match, and the accepted answer is scored"
    elif config.method == "extract":
        note = f"{written}, which are parsed; responses are scored beside"
    else:
        note = "the most likely response is its answer"
    return ShownPrompt(
        form=form,
        pieces=shown(whole[0][:split], False),
        responses=tuple(
            ShownResponse(
                _label(question, index), index == question.answer, shown(ids[split:], True)
            )
            for index, ids in enumerate(whole)
        ),
        note=note,
    )


def _label(question: Question, index: int) -> str:
    if question.short:
        return "accepted"
    return LETTERS[index] if index < len(LETTERS) else str(index + 1)


def _shown_round(
    config: Config, course: Course, encoder: Encoder, named: tuple[PoolName, Question] | None
) -> ShownRound | None:
    """The examples asked for; None if the run stopped before it trained.

    Raises:
        UserError: if the run stopped before that round, or it has no examples of that kind.
    """
    from cem_lightning.corpus.arrow import load_examples

    last, number = course.rounds[-1].number, config.inspect.round
    if number is not None and number > last:
        raise UserError(
            f"inspect.round: the run stopped after round {last}: {course.stopped}. "
            + (f"Set inspect.round to 1..{last}." if last else "Nothing was trained.")
        )
    if last == 0:
        return None
    current = course.rounds[last if number is None else number]
    examples = load_examples(current.corpus["examples"].path)
    kinds = Counter(example.kind for example in examples)
    kind = config.inspect.kind
    if kind is not None and not kinds[kind]:
        there = ", ".join(f"{each} ({kinds[each]})" for each in KINDS if kinds[each])
        raise UserError(
            f"inspect.kind: round {current.number} has no examples of kind {kind!r}; it has {there}"
        )
    id = named[1].id if named else None
    matching = [
        (at, example)
        for at, example in enumerate(examples)
        if kind in (None, example.kind) and (id is None or id in example.question_ids)
    ]
    passages = passages_so_far(course, current)
    wanted = [f"of kind {kind}"] * (kind is not None) + [f"for {id}"] * (id is not None)
    return ShownRound(
        number=current.number,
        kinds={each: kinds[each] for each in KINDS if kinds[each]},
        matching=len(matching),
        wanted=" ".join(wanted),
        examples=tuple(
            _shown_example(at, example, encoder, passages)
            for at, example in _varied(matching, config.inspect.examples)
        ),
    )


def _varied(matching: Sequence[tuple[int, Example]], most: int) -> list[tuple[int, Example]]:
    """The first of each kind in turn, in their order."""
    turns: Counter[str] = Counter()
    ranked = []
    for at, example in matching:
        ranked.append((turns[example.kind], at, example))
        turns[example.kind] += 1
    chosen = sorted(ranked, key=lambda each: each[:2])[:most]
    return sorted(((at, example) for _, at, example in chosen), key=lambda each: each[0])


def _shown_example(
    number: int, example: Example, encoder: Encoder, passages: Mapping[str, Passage]
) -> ShownExample:
    # nothing predicts the first token, so nothing of it is trained
    taught = (False, *example.supervised[1:])
    return ShownExample(
        number=number,
        kind=example.kind,
        prompt=0 if example.supervised[0] else example.supervised.index(True),
        trained=example.targets,
        questions=example.question_ids,
        passages=tuple(f"{id} {passages[id].title}".rstrip() for id in example.passage_ids),
        pieces=pieces(encoder.tokenizer, example.ids, taught, encoder.control_ids),
    )
