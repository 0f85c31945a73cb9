"""What a base model is called in public, and under which licence it says it stands.

Says what the files say; whether that allows a use is for the user to judge.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")  # files that travel with the weights


def public_name(path: str) -> str:
    """A hub id or a URL as it is; of anything local the last part of its path alone."""
    local = Path(path).expanduser()
    if "://" in path or (path.count("/") == 1 and not path.startswith(".") and not local.exists()):
        return path
    return local.resolve().name


def is_hub_id(path: str) -> bool:
    """Does `model.path` name a repository of the hub?"""
    return "://" not in path and public_name(path) == path and "/" in path


def base_licence(path: str, source: Path | None) -> str | None:
    """The licence that a model names: in its GGUF, in its model card, or on the hub.

    Args:
        path: as `model.path` gives it.
        source: the file or folder it stands for; None if it was made here.

    Returns:
        An identifier such as "apache-2.0", or None if none is said or the hub does not answer.
    """
    from huggingface_hub import ModelCard

    if source is None:
        return None
    if source.is_file():
        return _of_gguf(source)
    card: str | Path = source / "README.md"
    if not Path(card).is_file():
        if not is_hub_id(path):
            return None
        card = path
    try:
        licence = ModelCard.load(card).data.get("license")
    except Exception:  # network, access, or a card that is no card: the licence is just not known
        return None
    return licence if isinstance(licence, str) else None


def _of_gguf(file: Path) -> str | None:
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("general.license")
    return str(field.contents()) if field is not None else None
