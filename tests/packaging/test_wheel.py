"""The wheel, in an environment of its own and another folder, without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workspace import make_workspace

CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and an empty folder to work in."""

    environment: Path
    elsewhere: Path

    def python(self, *arguments: str) -> str:
        """What the environment's Python prints; it must succeed."""
        hidden = ("PYTHONPATH", "CEM_LIGHTNING_CONFIG_DIR", "CEM_STORE")
        done = subprocess.run(
            [str(self.environment / "bin" / "python"), *arguments],
            capture_output=True,
            text=True,
            cwd=self.elsewhere,
            env={key: value for key, value in os.environ.items() if key not in hidden},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built and installed without a network: dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip = ["-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, *pip], check=True, capture_output=True)
    paths = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in paths))
    (folder / "elsewhere").mkdir()
    return Installed(environment, folder / "elsewhere")


def test_it_is_the_wheel_that_is_imported(installed: Installed) -> None:
    file = Path(installed.python("-c", "import cem_lightning; print(cem_lightning.__file__)"))
    assert file.is_relative_to(installed.environment)


def test_help_and_configuration_need_no_checkout(installed: Installed) -> None:
    shown = installed.python("-m", "cem_lightning", "--help")
    assert "python -m cem_lightning +experiment=quickstart" in shown
    for group in ("recipe", "trainer", "answering"):
        assert group in shown
    arguments = ("+experiment=quickstart", "--cfg", "job", "--resolve")
    assert "name: quickstart" in installed.python("-m", "cem_lightning", *arguments)
    assert list(installed.elsewhere.iterdir()) == []


def test_the_command_of_the_wheel_is_the_module(installed: Installed) -> None:
    shown = subprocess.run(
        [str(installed.environment / "bin" / "cem_lightning"), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=installed.elsewhere,
    )
    assert shown.stdout == installed.python("-m", "cem_lightning", "--help")


def test_a_run_from_another_folder(installed: Installed, tmp_path: Path) -> None:
    world = make_workspace(tmp_path)
    installed.python("-m", "cem_lightning", *world.overrides("rounds=0", "run_dir=here"))
    run = installed.elsewhere / "here"
    (only,) = json.loads((run / "metrics.json").read_text())["rounds"]
    assert only["pools"]["heldout"]["n"] > 0
    assert "<html" in (run / "report.html").read_text()


def test_the_wheel_carries_its_licence_and_configs_alone(installed: Installed) -> None:
    (site,) = installed.environment.glob("lib/python*/site-packages")
    names = {each.name for each in site.iterdir() if "cem" in each.name}
    (record,) = names - {"cem_lightning"}
    assert (site / record / "licenses" / "LICENSE").is_file()
    configs = {str(each.relative_to(CHECKOUT / "conf")) for each in CHECKOUT.glob("conf/**/*.yaml")}
    carried = site / "cem_lightning" / "conf"
    assert {str(each.relative_to(carried)) for each in carried.rglob("*.yaml")} == configs
    assert not (site / "tests").exists()
