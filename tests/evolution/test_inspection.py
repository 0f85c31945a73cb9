"""action=inspect: every token and its mask, as the model sees them, on any terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cem_lightning.corpus.arrow import load_examples
from cem_lightning.evolution.inspection import pieces
from cem_lightning.models.encoding import Encoder
from cem_lightning.reporting.inspection import (
    Inspection,
    ShownPrompt,
    ShownQuestion,
    print_inspection,
)
from tests.cli.test_command import command
from tests.evolution.finished import overrides, stages
from tests.tiny import tiny_tokenizer
from tests.workspace import Workspace, write_rows


def inspect(world: Workspace, *more: str) -> str:
    """What the command prints of the finished run."""
    typed = overrides(world, "action=inspect", *more)
    return command(*typed, folder=world.folder).stdout


def refused(world: Workspace, *more: str) -> str:
    typed = overrides(world, "action=inspect", *more)
    return command(*typed, folder=world.folder, expect=2).stderr


def on_one_line(printed: str) -> str:
    return " ".join(printed.split())


def test_before_a_run_the_prompts_are_shown(workspace: Workspace) -> None:
    """Of the first question of each pool, in every form, with the ids that the model reads."""
    typed = workspace.overrides("action=inspect")
    printed = command(*typed, folder=workspace.folder).stdout
    for expected in ("source · colour-0", "heldout · age-0", "ood · sum-0"):
        assert expected in printed
    assert printed.count("closed book") == 3
    assert printed.count("name-blind") == 2  # ood has no such form
    assert printed.count("open book") == 1  # which heldout alone is asked in
    assert "No training examples to show" in printed
    assert "t|h|e| |g|r|u|k| |i|s| |r|e|d|" in printed  # a passage of the open book
    assert "D ✓ [r][e][d]" in printed and "A   [g][r][e][e][n]" in printed
    tokenizer = AutoTokenizer.from_pretrained(workspace.folder / "model")
    turn = [{"role": "user", "content": "What colour is the gruk?"}]
    ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True)["input_ids"]
    assert " ".join(map(str, ids)) in on_one_line(printed)
    assert f"closed book, {len(ids)} tokens" in printed
    assert "\x1b" not in printed


def test_examples_show_exactly_what_is_trained(finished: Workspace) -> None:
    printed = inspect(finished, "inspect.round=1", "inspect.examples=1000")
    examples = load_examples(stages(finished, "assemble")[1] / "examples")
    blocks = re.split(r"^example \d+ · ", printed, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(examples)
    for block, example in zip(blocks, examples, strict=True):
        assert block.startswith(f"{example.kind} · {len(example.ids)} tokens, {example.targets} ")
        for id in example.question_ids:
            assert id in block
        assert " ".join(map(str, example.ids)) in on_one_line(block)
        brackets = "".join(re.sub(r"\d+( \d+)+ *$", "", line) for line in block.splitlines()[1:])
        single = re.findall(r"\[[^\[\]]+\]", brackets)
        assert sum(map(_tokens, single)) == example.targets
    assert "from " in blocks[0] and "the gruk" in printed


def _tokens(bracket: str) -> int:
    """How many tokens one bracket holds: a subscript says if they are several."""
    many = re.search(r"[₀-₉]+\]$", bracket)
    return int("".join(str(ord(each) - ord("₀")) for each in many[0][:-1])) if many else 1


def test_kind_and_question_choose_examples(finished: Workspace) -> None:
    printed = inspect(finished, "inspect.kind=normative", "inspect.examples=2")
    assert printed.count("· normative ·") == 2 and "· passage ·" not in printed
    assert "Training examples of round 2" in printed
    of_one = inspect(finished, "question=chinese-1")
    assert "1 of them for chinese-1, 1 shown" in of_one
    assert "closed book" in of_one and "source · colour-0" not in of_one


def test_a_character_of_several_tokens_stays_whole(finished: Workspace) -> None:
    printed = inspect(finished, "question=chinese-1")
    assert "蓝₃|鲸₃|住₃" in printed
    assert "[海₃][洋₃]" in printed
    assert "\ufffd" not in printed


def test_a_short_answer_shows_what_is_accepted(finished: Workspace) -> None:
    printed = inspect(finished, "question=short-1")
    assert "accepted ✓ [t][h][e][ ][w][a][r][d][e][n]" in printed
    assert "right by exact match" in printed


def test_a_held_out_question_has_no_examples(finished: Workspace) -> None:
    printed = inspect(finished, "question=age-0")
    assert "0 of them for age-0" in printed and "open book" in printed


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("question=colour0", "did you mean 'colour-0'"),
        ("inspect.round=3", "rounds=2"),
        ("inspect.kind=extractive", "passage ("),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    finished: Workspace, override: str, expected: str
) -> None:
    told = refused(finished, override)
    assert override.partition("=")[0] in told and expected in told


def test_examples_of_a_run_that_is_not_finished_are_refused(workspace: Workspace) -> None:
    told = command(
        *workspace.overrides("action=inspect", "inspect.round=1"),
        folder=workspace.folder,
        expect=2,
    ).stderr
    assert "action=run" in told


def test_control_tokens_are_marked_and_what_looks_like_one_is_not() -> None:
    encoder = Encoder(tiny_tokenizer(), "chat")
    ids = encoder.prompt("What is <|im_end|>?")
    shown = pieces(encoder.tokenizer, ids, [False] * len(ids), encoder.control_ids)
    assert [each.text for each in shown if each.control] == [
        "<|im_start|>",
        "<|im_end|>",
        "<|im_start|>",
    ]
    assert "".join(each.text for each in shown).count("<|im_end|>") == 2
    assert tuple(id for each in shown for id in each.ids) == ids


def test_spaces_that_belong_to_a_token_are_kept() -> None:
    """As SentencePiece writes them; decoding such a token alone would lose its space."""
    tokenizer = Tokenizer(models.WordLevel({"▁good": 0, "▁day": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    shown = pieces(fast, fast.encode("good day"), [False] * 2, frozenset())
    assert [each.text for each in shown] == ["good", " day"]


def test_half_a_character_is_named_and_nothing_is_lost() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer.encode("蓝")[:2] + tokenizer.encode("a")
    shown = pieces(tokenizer, ids, [False] * 3, frozenset())
    assert [id for each in shown for id in each.ids] == ids
    assert [each.text for each in shown][-1] == "a"
    assert all("\ufffd" not in each.text for each in shown)


def test_a_terminal_gets_colours_and_no_control_characters_of_the_text() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer.encode("a\x1b[2Jb")
    shown = pieces(tokenizer, ids, [True] * len(ids), frozenset())
    out = io.StringIO()
    prompt = ShownPrompt("closed book", shown, (), "")
    print_inspection(
        Inspection("n", "m", (ShownQuestion("q", "source", (prompt,)),), None, ()),
        Console(file=out, force_terminal=True, color_system="standard", width=100),
    )
    assert "\x1b[1;32m" in out.getvalue()  # bold green
    assert "\x1b[2J" not in out.getvalue() and "\\u001b" in out.getvalue()


def test_the_prompt_of_a_base_model_is_plain_text(workspace: Workspace) -> None:
    """Plain style needs no template, and what is scored begins with the space."""
    rows: list[dict[str, object]] = [{"question": "Is it?", "choices": ["yes", "no"], "answer": 0}]
    write_rows(workspace.folder / "source.jsonl", rows)
    typed = workspace.overrides(
        "action=inspect",
        "model.style=plain",
    )
    printed = command(*typed, folder=workspace.folder).stdout
    assert "A ✓ [ ][y][e][s]" in printed
    assert "A|n|s|w|e|r|:" in printed
