"""Secrets of the environment and of the command line reach no file that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import wandb

from cem_lightning.errors import UserError
from cem_lightning.secrets import redacted
from tests.cli.test_command import command
from tests.workspace import Workspace, compose_config

PLANTED = {
    "HF_TOKEN": "hf_PLANTEDplantedPLANTEDplantedPLANTED",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "MY_SECRET": "planted secret of mine",
}
PASSWORD = "plantedpassword"


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)


def leaks(folder: Path) -> list[Path]:
    """Files in which a planted secret stands, as text or within something binary."""
    secrets = [value.encode() for value in (*PLANTED.values(), PASSWORD)]
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]


@pytest.mark.usefixtures("planted")
def test_no_byte_of_a_secret_lies_anywhere(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep of a job that ends and one that fails with a secret in its message."""
    from cem_lightning.training.module import MixedObjective

    refuse = MixedObjective.refuse_wrecked

    def told(module: MixedObjective, step: int) -> None:
        if module.config.learning_rate == 3e-3:
            raise RuntimeError(f"401 for https://me:{PASSWORD}@hub: {PLANTED['HF_TOKEN']}")
        refuse(module, step)

    monkeypatch.setattr(MixedObjective, "refuse_wrecked", told)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(workspace.folder / "wandb_cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(workspace.folder / "wandb_data"))
    overrides = workspace.overrides(
        "logger=wandb", "run_dir=out", "trainer.learning_rate=1e-3,3e-3"
    )
    command("-m", *overrides, folder=workspace.folder, expect=1)
    wandb.teardown()  # what is still on its way is written now
    assert list(workspace.folder.glob("out/*/wandb/offline-run-*/*.wandb"))
    (log,) = (workspace.folder / "runs" / ".sweeps").rglob("error.log")
    assert "RuntimeError: 401 for https://***@hub: ***" in log.read_text()
    assert leaks(workspace.folder) == []


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("knowledge.corpus", PLANTED["HF_TOKEN"]),
        ("model.path", f"folder/{PLANTED['WANDB_API_KEY']}"),
        ("model.path", PLANTED["MY_SECRET"]),
        ("model.path", f"https://me:{PASSWORD}@host/model"),
        ("name", "ghp_" + "a1" * 18),
        ("model.path", f"http://{PASSWORD}@127.0.0.1:1"),
        ("knowledge.corpus", f"https://host/w/api.php?x=1&key={PASSWORD}"),
        ("knowledge.corpus", f"https://host/file?X-Amz-Signature={PASSWORD}#top"),
    ],
)
@pytest.mark.parametrize("sweep", [False, True])
def test_a_secret_in_the_configuration_is_refused_and_not_repeated(
    workspace: Workspace, key: str, value: str, sweep: bool
) -> None:
    overrides = workspace.overrides("logger=wandb", "run_dir=out", f"{key}='{value}'")
    done = command(*["-m"] * sweep, *overrides, folder=workspace.folder, expect=2)
    assert done.stderr.startswith(f"error: {key}: holds ")
    assert value not in done.stdout + done.stderr
    assert leaks(workspace.folder) == []
    assert not (workspace.folder / "out").exists()


@pytest.mark.parametrize(
    "harmless",
    [
        "runs/.store/train/" + "0123456789abcdef" * 4,
        "0123456789abcdef0123456789abcdef01234567",
        "https://host:8080/a/b@c?page=1&monkey=2",
        "/data/sk-learn/hf_cache/tokens",
    ],
)
def test_digests_and_paths_are_no_secrets(harmless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "runs/.store")
    monkeypatch.setenv("SHORT_KEY", "a")
    assert str(compose_config(f"store_dir='{harmless}'").store_dir) == str(Path(harmless))
    assert redacted(harmless) == harmless


def test_every_secret_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "planted-secret")
    with pytest.raises(UserError) as caught:
        compose_config("model.path=planted-secret", "store_dir=planted-secret", "rounds=-1")
    assert str(caught.value).startswith("2 problems")
    assert "MY_SECRET" in str(caught.value) and "planted-secret" not in str(caught.value)
