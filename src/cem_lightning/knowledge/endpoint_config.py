"""How a model behind an OpenAI-compatible endpoint is reached, and what its tokens cost.

Names the variable that holds the key, never the key: configurations are kept and logged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from cem_lightning.settings import Settings

# How an endpoint is reached, not what its model says: no result depends on these.
ACCESS_KEYS = (
    "address", "key_variable", "concurrency", "retries", "timeout", "cache",
    "dollars_per_million_input", "dollars_per_million_output", "most_dollars",
)  # fmt: skip


class EndpointConfig(Settings):
    """One model of one server."""

    address: str = Field(
        description="base address of the API, to which /chat/completions is added, such as "
        "http://localhost:8000/v1"
    )
    model: str | None = Field(
        pattern=r"\S", description="name of the model, as the server knows it; null: none is asked"
    )
    key_variable: str | None = Field(
        pattern=r"^[A-Za-z_]\w*$",
        description="environment variable that holds the API key; null sends none",
    )
    temperature: float = Field(ge=0, description="of sampling; 0 is greedy")
    seed: int = Field(description="sent with every request; servers may ignore it")
    max_tokens: int = Field(gt=0, description="longest answer; tokens of the server's model")
    concurrency: int = Field(gt=0, description="requests on their way at a time")
    retries: int = Field(ge=0, description="further attempts at a request that fails for now")
    timeout: float = Field(gt=0, description="longest wait for an answer; seconds")
    cache: Path = Field(description="folder that keeps every answer")
    dollars_per_million_input: float | None = Field(
        ge=0, description="price of a million tokens of prompts; US dollars, null: unknown"
    )
    dollars_per_million_output: float | None = Field(
        ge=0, description="price of a million tokens of answers; US dollars, null: unknown"
    )

    most_dollars: float | None = Field(
        gt=0,
        description="most that a stage may spend: what could cost more is not asked; US dollars, "
        "null: any cost",
    )

    @field_validator("address")
    @classmethod
    def _a_base(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            named = named and value.isprintable() and " " not in value  # urlsplit forgives these
        except ValueError:
            named = False
        if not named or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "not an http or https address without user name, password or query; give the base "
                "of an OpenAI-compatible API, such as http://localhost:8000/v1"
            )
        if parts.path.rstrip("/").endswith("/completions"):
            raise ValueError("leave out /chat/completions, which is added")
        return value.rstrip("/")

    @field_validator("most_dollars")
    @classmethod
    def _reckoned(cls, value: float | None, info: ValidationInfo) -> float | None:
        prices = ("dollars_per_million_input", "dollars_per_million_output")
        if value is not None and any(info.data.get(each) is None for each in prices):
            raise ValueError(f"needs the prices: set endpoint.{prices[0]} and endpoint.{prices[1]}")
        return value

    @field_validator("cache", mode="before")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("an empty path; name a folder")
        return Path(value).expanduser() if isinstance(value, str) else value

    def parted(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Who writes, and how it is reached, as plain values; both together are these settings."""
        named = self.model_dump(mode="json")
        reached = {key: named.pop(key) for key in ACCESS_KEYS}
        return named, reached

    def dollars(self, input_tokens: int, output_tokens: int) -> float | None:
        """What so many tokens cost; None if a price is not known."""
        prices = (self.dollars_per_million_input, self.dollars_per_million_output)
        if prices[0] is None or prices[1] is None:
            return None
        return (input_tokens * prices[0] + output_tokens * prices[1]) / 1e6
