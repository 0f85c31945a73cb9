"""Every shipped experiment composes, validates, checks and runs dry, with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cem_lightning.evolution.actions import act
from cem_lightning.evolution.config import Config
from cem_lightning.reporting.run_folder import RunRecord
from tests.websites import Website, article
from tests.wikipedia import wikipedia_server
from tests.workspace import Workspace, compose_config, make_workspace

FOLDER = Path(__file__).parents[2] / "conf" / "experiment"
EXPERIMENTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
STUDIES = [name for name in EXPERIMENTS if name not in ("quickstart", "smoke")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One small world and one store, so that experiments reuse what they share."""
    return make_workspace(tmp_path_factory.mktemp("world"))


def dry(world: Workspace, name: str, *more: str) -> Config:
    """An experiment on the small world and a tiny model, everything else as it is shipped."""
    return compose_config(
        f"+experiment={name}",
        *world.overrides("model=tiny", "answering.batch_tokens=4096", *more),
        f"run_dir={world.folder / 'dry' / name}",
    )


def test_the_experiments_the_readme_names_are_shipped() -> None:
    assert set(EXPERIMENTS) >= {
        "cmmlu_round1",
        "llama3_round3",
        "quickstart",
        "qwen3_round3",
        "qwen_round1",
        "qwen_round2",
        "qwen_round3",
        "smoke",
    }


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_composes_as_shipped(name: str) -> None:
    config = compose_config(f"+experiment={name}")
    assert config.name in name
    assert f"experiment={name}" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_header_says_what_it_needs_and_costs(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    for word in ("# Needs: ", "# Costs: ", "# Run: "):
        assert word in text


def test_the_rounds_of_qwen_differ_in_rounds_alone() -> None:
    first, *others = (compose_config(f"+experiment=qwen_round{each}") for each in (1, 2, 3))
    assert [each.rounds for each in (first, *others)] == [1, 2, 3]
    for each in others:
        assert each.model_copy(update={"rounds": 1}) == first


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_checks_and_runs_dry(
    name: str, world: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    act(dry(world, name, "action=check"))
    assert "16 questions" in capsys.readouterr().out
    config = dry(world, name)
    act(config)
    record = RunRecord.read(config.folder)
    assert record.last_round >= 1 and record.name == config.name
    assert (config.folder / "report.html").is_file()


def test_a_study_runs_on_its_own_questions_on_wikipedia_and_on_the_web(tmp_path: Path) -> None:
    """Everything as shipped but for the size of the model and the addresses of the sources."""
    world = make_workspace(tmp_path)
    published = tmp_path / "xiezhi.v1.json"
    rows = [json.loads(line) for line in (tmp_path / "source.jsonl").open()]
    published.write_text(
        "".join(
            json.dumps(
                {
                    "question": row["question"],
                    "options": "\n".join(row["choices"]),
                    "answer": row["answer"],
                    "labels": [row["kind"]],
                }
            )
            + "\n"
            for row in rows
        )
    )
    texts = [json.loads(line) for line in (tmp_path / "corpus.jsonl").open()]
    pages = {f"/{at}.html": article(each["title"], each["text"]) for at, each in enumerate(texts)}
    with (
        wikipedia_server({each["title"]: each["text"] for each in texts}) as endpoint,
        Website(pages) as site,
    ):
        config = compose_config(
            "+experiment=qwen_round1",
            "model=tiny",
            f"data.path={published}",
            "data.slice=8",
            "knowledge.contact=someone@example.org",
            f"knowledge.searxng={site.address}",
            f"knowledge.cache={tmp_path / 'cache'}",
            f"knowledge.sources.wikipedia.endpoint={endpoint}",
            "knowledge.sources.wikipedia.requests_per_second=1000",
            "knowledge.sources.web.requests_per_second=1000",
            "knowledge.sources.web.allow_private=true",
            "knowledge.languages=null",
            "recipe.tokens=1500",
            "answering.method=cloze",
            "answering.response_tokens=8",
            f"store_dir={world.folder / 'store'}",
            f"run_dir={tmp_path / 'run'}",
        )
        act(config)
    record = RunRecord.read(config.folder)
    assert record.last_round == 1
    assert record.metrics["rounds"][1]["passages"] > 0
    assert (config.folder / "wandb").is_dir()
