"""Whole rounds that train on synthetic texts too, by a real endpoint and by rules."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.corpus.arrow import load_examples
from cem_lightning.errors import UserError
from cem_lightning.evolution import writers
from cem_lightning.evolution.actions import act
from cem_lightning.evolution.run import run
from cem_lightning.reporting.run_folder import RunRecord
from cem_lightning.storage.atomic import read_jsonl
from tests.endpoints import Endpoint
from tests.evolution.finished import stages
from tests.serving import Fault
from tests.workspace import Workspace, make_workspace


def write(prompt: str) -> str:
    """Another order of a passage's sentences; two pairs about it, one of them made up."""
    if "concepts" in prompt:
        return '["creatures", "colours"]'
    passage = prompt.partition("Passage:\n")[2]
    if "JSON" in prompt:
        told = re.search(r"(the \w+) lives in (\w+)", passage)
        if told is None:
            return "[]"
        pairs = [("Who lives there?", told[1]), ("Where does it live?", "Atlantis")]
        return json.dumps([{"question": asked, "answer": answer} for asked, answer in pairs])
    told = [f"{each.strip('. ')}." for each in passage.split(". ") if each]
    return " ".join(told[1:] + told[:1] if "about this question" in prompt else reversed(told))


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with Endpoint(write) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def settings(world: Workspace, *more: str) -> list[str]:
    return [
        "rounds=1",
        "data.slice=8",
        "recipe=extractive",
        "recipe.tokens=1500",
        "answering.blind=false",
        "answering.noise_floor=false",
        "answering.open_book_passages=0",
        "triage.open_book_passages=0",
        *more,
    ]


def by_endpoint(world: Workspace, server: Endpoint, *more: str) -> list[str]:
    return settings(
        world,
        "supply=endpoint",
        "supply.paraphrases=1",
        "endpoint.model=writer",
        f"endpoint.address={server.address}",
        f"endpoint.cache={world.folder / 'cache'}",
        *more,
    )


def rows(world: Workspace, stage: str, name: str, number: int = 1) -> list[dict[str, Any]]:
    return list(read_jsonl(stages(world, stage)[number] / name))


def test_what_a_model_writes_is_trained_on_and_says_what_it_was_made_of(
    world: Workspace, server: Endpoint
) -> None:
    folder = run(world.config(*by_endpoint(world, server, "rounds=2")))
    found = {row["id"]: row for row in rows(world, "acquire", "passages.jsonl")}
    made = {row["id"]: row for row in rows(world, "supply", "synthetic.jsonl")}
    assert made and not made.keys() & found.keys()
    for row in made.values():
        parent = found[row["written"]["parent"]]
        assert row["written"]["by"] == "writer" and row["written"]["kind"] in (
            "paraphrase",
            "focus",
        )
        assert set(row["serves"]) <= set(parent["serves"])
        assert sorted(re.findall(r"\w+", row["text"])) == sorted(re.findall(r"\w+", parent["text"]))
    items = rows(world, "supply", "items.jsonl")
    rejected = rows(world, "supply", "rejected.jsonl")
    assert {row["instruction"] for row in items} == {"Who lives there?"}
    assert "not_stated" in {row["reason"] for row in rejected}
    examples = load_examples(stages(world, "assemble")[1] / "examples")
    read = {id for each in examples if each.kind == "passage" for id in each.passage_ids}
    assert made.keys() <= read and read <= made.keys() | found.keys()
    asked = [each for each in examples if each.kind == "extractive"]
    assert len(asked) >= len(items) > 0
    told = RunRecord.read(folder).rounds[1]["supply"]
    assert told["kept"]["qa"] == len(items) and told["rejected"]["not_stated"] == len(items)
    assert told["kept"]["paraphrase"] + told["kept"]["focus"] == len(made)
    assert "supply" in RunRecord.read(folder).rounds[2]


def test_it_is_asked_once_and_nothing_depends_on_how_it_is_reached(
    world: Workspace, server: Endpoint
) -> None:
    run(world.config(*by_endpoint(world, server)))
    first, asked = rows(world, "supply", "synthetic.jsonl"), len(server.requests)
    shutil.rmtree(world.folder / "store")
    shutil.rmtree(world.folder / "run")
    run(world.config(*by_endpoint(world, server)))
    assert len(server.requests) == asked
    assert rows(world, "supply", "synthetic.jsonl") == first
    cheaper = by_endpoint(
        world,
        server,
        "endpoint.concurrency=1",
        "endpoint.address=http://127.0.0.1:9/v1",
        "endpoint.dollars_per_million_input=1",
    )
    run(world.config(*cheaper))  # the same run folder, and nothing to ask
    assert len(server.requests) == asked


def test_a_run_whose_endpoint_breaks_off_goes_on_where_it_stopped(
    world: Workspace, server: Endpoint
) -> None:
    config = world.config(*by_endpoint(world, server, "endpoint.concurrency=1"))
    gone = Fault(400, b'{"error": "no credit"}')
    server.faults = [None, None, gone]  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"2 of \d+ prompts are answered and kept .*continues"):
        run(config)
    server.requests.clear()
    run(config)
    asked = [each["messages"][-1]["content"] for each in server.requests]
    assert len(asked) == len(set(asked))
    kept = list((world.folder / "cache" / "chat").rglob("*.json"))
    assert len(kept) == len(asked) + 2


def test_held_out_questions_are_not_learned_from_what_a_model_writes(world: Workspace) -> None:
    (question, *_) = read_jsonl(world.folder / "heldout.jsonl")

    def leaking(prompt: str) -> str:
        return f"{question['question']} That is asked." if "JSON" not in prompt else "[]"

    with Endpoint(leaking) as server:
        run(world.config(*by_endpoint(world, server, "supply.kinds=[paraphrase]")))
    assert not rows(world, "supply", "synthetic.jsonl")
    leaked = [each for each in rows(world, "supply", "rejected.jsonl") if each["reason"] == "leak"]
    assert leaked and all(question["id"] in each["detail"] for each in leaked)


def test_a_trace_shows_what_was_written_and_what_was_thrown_away(
    world: Workspace, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    config = by_endpoint(world, server)
    run(world.config(*config))
    row = rows(world, "supply", "synthetic.jsonl")[0]
    act(world.config(*config, "action=trace", f"question={row['serves'][0]}"))
    told = " ".join(re.sub(r"[│├└─]", " ", capsys.readouterr().out).split())
    parent = row["written"]["parent"]
    assert f"synthetic, {row['written']['kind']} of {parent} by writer" in told
    assert "by writer: not stated, Atlantis" in told
    assert "extractive" in told


def test_too_dear_is_refused_before_anything_is_asked(
    world: Workspace, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = (
        "endpoint.dollars_per_million_input=1000",
        "endpoint.dollars_per_million_output=1000",
    )
    config = by_endpoint(world, server, *prices, "endpoint.most_dollars=0.01")
    with pytest.raises(UserError, match=r"endpoint.most_dollars: 0.01, and \d+ requests"):
        run(world.config(*config))
    assert not server.requests
    act(world.config(*config, "action=check"))
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"Synthetic texts: at most \d+ requests, about .* US dollars", told)
    problem = r"endpoint\.most_dollars:? is 0\.01, and the synthetic texts of a round may cost"
    assert re.search(problem, told), told
    run(world.config(*by_endpoint(world, server, *prices)))
    assert server.requests


def test_the_forecast_knows_of_concepts_that_are_asked_for(
    world: Workspace, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    config = by_endpoint(world, server, "supply=none", "recipe=cem", "mistakes.points_by=endpoint")
    act(world.config(*config, "action=check"))
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"Knowledge points: at most \d+ requests, about ", told)
    assert "Synthetic texts" not in told
    assert not server.requests


def test_a_key_that_is_missing_is_told_before_the_model_answers(
    world: Workspace, server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY_OF_NOBODY", raising=False)
    config = by_endpoint(world, server, "endpoint.key_variable=KEY_OF_NOBODY")
    with pytest.raises(UserError, match="KEY_OF_NOBODY"):
        run(world.config(*config))
    assert not (world.folder / "store" / "answer").exists()
    run(world.config(*config, "rounds=0"))  # asks nobody


def test_the_model_under_training_writes_itself(world: Workspace) -> None:
    config = settings(world, "supply=model", "supply.response_tokens=8", "supply.paraphrases=1")
    folder = run(world.config(*config))
    told = RunRecord.read(folder).rounds[1]["supply"]
    assert sum(told["rejected"].values()) + sum(told["kept"].values()) > 0
    for row in rows(world, "supply", "rejected.jsonl"):
        assert row["written"]["by"] == "the model under training"


@pytest.mark.invariant
def test_rules_need_no_model_and_say_the_same_every_time(world: Workspace) -> None:
    lines = [json.dumps({"text": f"{row['text']} Therefore, nobody has ever seen it in a zoo."})
             for row in read_jsonl(world.folder / "corpus.jsonl")]  # fmt: skip
    (world.folder / "corpus.jsonl").write_text("\n".join(lines))
    run(world.config(*settings(world, "supply=reading")))
    first = rows(world, "supply", "items.jsonl")
    assert {each["written"]["by"] for each in first} == {"rules"}
    passages = {each["id"]: each["text"] for each in rows(world, "acquire", "passages.jsonl")}
    assert all(each["response"] in passages[each["written"]["parent"]] for each in first)
    job = json.loads((stages(world, "supply")[1] / "job.json").read_text())
    assert "model" not in job["inputs"]
    shutil.rmtree(world.folder / "store")
    shutil.rmtree(world.folder / "run")
    run(world.config(*settings(world, "supply=reading")))
    assert rows(world, "supply", "items.jsonl") == first


def test_concepts_of_an_endpoint_are_searched_for(world: Workspace, server: Endpoint) -> None:
    config = by_endpoint(world, server, "supply=none", "recipe=cem", "mistakes.points_by=endpoint")
    run(world.config(*config))
    mistakes = rows(world, "collect", "mistakes.jsonl")
    assert {tuple(each["points"]) for each in mistakes} == {("creatures", "colours")}
    assert not (world.folder / "store" / "supply").exists()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("supply=endpoint", "recipe=extractive"), "needs endpoint.model"),
        (("supply=reading",), "reading makes examples of kind extractive.*recipe=extractive"),
        (("supply=model", "supply.kinds=[focus]", "recipe=cit_only"), "focus makes .* passage"),
        (("supply=reading", "recipe=random_passages"), "leave this arm supply=none"),
        (("mistakes.points_by=endpoint",), "points_by=endpoint needs endpoint.model"),
        (("supply=model", "recipe=extractive", "supply.kinds=[qa,poem]"), "supply.kinds"),
        (("endpoint.address=localhost:8000",), "endpoint.address"),
        (("endpoint.most_dollars=1",), "needs the prices"),
    ],
)
def test_what_could_not_be_used_is_refused(
    world: Workspace, typed: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        world.config(*typed)


def test_what_the_model_has_written_outlives_the_process(
    world: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def breaking(model: Any, prompts: Sequence[str], *_: Any) -> list[str]:
        asked.append(len(prompts))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return [f"Text {prompt[-20:]}" for prompt in prompts]

    monkeypatch.setattr(writers, "generate", breaking)
    monkeypatch.setattr(writers, "_AT_ONCE", 3)
    config = world.config(*settings(world, "supply=model"))
    with pytest.raises(KeyboardInterrupt):
        run(config)
    run(config)
    written = rows(world, "supply", "rejected.jsonl") + rows(world, "supply", "synthetic.jsonl")
    assert len({each["written"]["prompt"] for each in written}) == asked[0] + sum(asked[2:])
    assert asked[0] == 3
    assert not list((world.folder / "store" / "supply").glob(".*.kept"))
