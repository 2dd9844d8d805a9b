"""A configuration from a text: what it is, or what is wrong with it."""

from pathlib import Path

import pytest

from dnsserver.config import (
    Config,
    ConfigError,
    Override,
    load,
)


def problems(tmp_path: Path, text: str, overrides: dict[str, Override] | None = None) -> list[str]:
    """Return the messages for a file of this text, without the folder."""
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    return [problem.replace(f"{tmp_path}/", "") for problem in str(caught.value).splitlines()]


def loaded(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return load(file)
