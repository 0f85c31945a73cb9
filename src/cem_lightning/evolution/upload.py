"""Uploads an exported folder to the Hugging Face hub.

The folder is finished before; whatever fails here leaves it as it is.
"""

from __future__ import annotations

from pathlib import Path

from cem_lightning.errors import UserError


def check_name(name: str) -> None:
    """Refuse what can be no repository before anything is computed.

    Raises:
        UserError: if it is not USER/NAME.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HFValidationError

    try:
        hf_hub_url(name, "README.md")  # checks the name and asks nobody
        valid = name.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise UserError(
            f"export.push_to_hub: {name!r} names no repository. Write USER/NAME, for instance "
            "me/smollm2-elements."
        )


def upload(folder: Path, name: str) -> str:
    """Create the model repository if it is not there, upload all files, and return its address.

    Raises:
        UserError: if the hub refuses or does not answer, with the next step.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        url = api.create_repo(name, exist_ok=True)
        api.upload_folder(
            folder_path=folder, repo_id=name, commit_message="Model exported by cem_lightning"
        )
    except Exception as error:  # the transports raise what they like
        raise UserError(
            f"export.push_to_hub: the model is finished in {folder}, but the upload to {name} "
            f"failed: {_reason(error)} Then: hf upload {name} {folder}"
        ) from error
    return str(url)


def _reason(error: Exception) -> str:
    """What went wrong and what to do about it; never a header or a token."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HfHubHTTPError):
        cause = cause.__cause__
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    if isinstance(error, LocalTokenNotFoundError) or (status == 401 and get_token() is None):
        return "you are not logged in. Log in with: hf auth login"
    if status == 401:
        return "the hub does not accept your token (401). Log in anew with: hf auth login"
    if status == 403:
        return (
            "your token may not write there (403). Make one with the permission to write, and log "
            "in with: hf auth login"
        )
    if status is not None:
        return f"the hub answered {status}. Try again later."
    return (
        f"the hub cannot be reached ({type(error).__name__}). Try again where there is a network "
        "(and without HF_HUB_OFFLINE)."
    )
