"""A hub id as `model.path`, against a server that speaks the hub's protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cem_lightning.models.config import ModelConfig
from cem_lightning.models.loading import load_model
from tests.models.hub import Hub, local_hub
from tests.tiny import tiny_model_folder

TOKEN = "hf_plantedplantedplantedplanted"
RESOLVE = """
import json, sys
from cem_lightning.errors import UserError
from cem_lightning.models.source import resolve
said = {}
for path in sys.argv[1:]:
    try:
        said[path] = str(resolve(path))
    except UserError as error:
        said[path] = f"refused: {error}"
print(json.dumps(said))
"""


def resolved(paths: Sequence[str], endpoint: str, home: Path) -> dict[str, str]:
    """What becomes of hub ids in a process of its own: the client reads its settings at import."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": TOKEN,
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, *paths],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    said: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tiny_model_folder(tmp_path_factory.mktemp("model"))
    (folder / "README.md").write_text("not needed")
    (folder / "LICENSE").write_text("travels with the weights")
    refusals = {
        "some/gated": (403, "GatedRepo"),
        "some/private": (401, "RepoNotFound"),
        "some/forbidden": (403, ""),
        "some/busy": (503, ""),
    }
    with local_hub(Hub({"some/tiny": folder}, refusals)) as hub:
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def said(hub: Hub, home: Path) -> dict[str, str]:
    paths = ["some/tiny", *hub.refusals, "some/missing"]
    return resolved(paths, hub.endpoint, home)


def test_a_public_model_is_downloaded_and_answers(hub: Hub, said: dict[str, str]) -> None:
    folder = Path(said["some/tiny"])
    assert (folder / "LICENSE").is_file()
    assert not (folder / "README.md").exists()
    assert f"Bearer {TOKEN}" in hub.tokens, "whoever is logged in is known to the hub"
    config = ModelConfig(
        path="some/tiny", style="chat", dtype="float32", attention="sdpa", device="cpu"
    )
    model = load_model(folder, config)
    assert model.encoder.prompt("Which sea?")


def test_without_a_network_what_was_downloaded_is_used(said: dict[str, str], home: Path) -> None:
    again = resolved(["some/tiny", "some/other"], "http://127.0.0.1:9", home)
    assert again["some/tiny"] == said["some/tiny"]
    message = again["some/other"]
    assert message.startswith("refused: model.path: some/other is no local folder")
    assert "hub cannot be reached" in message
    assert "hf download some/other --local-dir FOLDER" in message
    assert "model.path=FOLDER" in message


@pytest.mark.parametrize(
    ("path", "found", "next_step"),
    [
        ("some/gated", "is gated. Accept its licence", "hf auth login"),
        ("some/private", "neither a folder nor a hub repository", "hf auth login"),
        ("some/missing", "neither a folder nor a hub repository", "Check the spelling"),
        ("some/forbidden", "refuses to give it (403)", "hf auth login"),
        ("some/busy", "answers 503", "the same command again later"),
    ],
)
def test_what_cannot_be_had_gives_the_next_step(
    said: dict[str, str], path: str, found: str, next_step: str
) -> None:
    message = said[path]
    assert message.startswith("refused: model.path: ")
    assert path in message and found in message and next_step in message
    assert "\n" not in message


@pytest.mark.slow
def test_a_download_that_breaks_off_is_continued_by_the_same_command(
    hub: Hub, tmp_path: Path
) -> None:
    """The client itself tries for five seconds."""
    hub.broken = ("some/tiny",)
    try:
        message = resolved(["some/tiny"], hub.endpoint, tmp_path)["some/tiny"]
    finally:
        hub.broken = ()
    assert "hub cannot be reached (RemoteProtocolError)" in message
    assert "what has been downloaded is kept" in message
    folder = Path(resolved(["some/tiny"], hub.endpoint, tmp_path)["some/tiny"])
    assert (folder / "model.safetensors").is_file()
