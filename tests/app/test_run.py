"""The messages about a configuration before the server starts."""

from pathlib import Path

from tests.app.started import program


async def test_a_setting_that_is_in_force_is_not_said_to_be_none(tmp_path: Path) -> None:
    async with program(tmp_path, text="[clients]\nallow = []\n") as running:
        said = await running.wait_says("this setting is in force, but look at it")
        assert said["level"] == "warning"
        assert said["setting"].endswith("clients.allow")
        assert "no client gets an answer" in said["hint"]
        await running.wait_says("serving")
    assert b"not in force" not in running.said
