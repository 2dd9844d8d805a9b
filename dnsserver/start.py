"""The start of a server, from the command line to the app, without what reads the command line in its process.

That takes 1.6 MiB, with click and all commands, which a server would hold for as long as it runs. So a child reads it,
beside the imports of the server, and ends.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from dnsserver.config import ConfigError, Loaded, Override, in_order, read

INVALID = 2  # exit status; click's own for a wrong flag

_MEANWHILE = ("dnsserver.app.preflight", "dnsserver.log")  # takes less time than the child
_SIGNALLED = 128  # and the number, as shells have it
_MOST_TOLD = 100  # lines

# A flag's parameter to the key of the configuration that it stands in for; several have another name.
KEYS = {"upstream": "upstreams"}

Take = Callable[[Path | None, dict[str, Any]], None]


def read_apart() -> Take | None:
    """Return, in a child, what takes the flags of `serve`; this process serves with them, and then ends.

    It ends with the child's status where there is nothing to serve: for help, say. It returns None, and there is no
    child, where no process is to be had.
    """
    try:
        reader, writer = os.pipe()
        child = os.fork()
    except OSError:
        return None
    if not child:
        os.close(reader)
        return partial(_pass_on, writer)
    os.close(writer)
    if importlib.import_module("dnsserver.app.address_space").shortage() is None:
        for name in _MEANWHILE:
            importlib.import_module(name)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not text:
        sys.exit(status if status >= 0 else _SIGNALLED - status)
    config, given = json.loads(text)
    serve(config and Path(config), {key: tuple(value) if isinstance(value, list) else value for key, value in given})
    return None


def _pass_on(writer: int, config: Path | None, given: dict[str, Any]) -> None:
    with suppress(BrokenPipeError), os.fdopen(writer, "w", encoding="utf-8") as pipe:  # the parent was told to end
        json.dump((config and str(config), list(given.items())), pipe)


def _say(text: object) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def serve(config: Path | None, given: dict[str, Any]) -> None:
    """Serve with a configuration and flags, and exit."""
    importlib.import_module("dnsserver.app.heap").keep_little()
    address_space = importlib.import_module("dnsserver.app.address_space")
    shortage = address_space.shortage()
    if shortage is not None:
        _say(shortage)
        sys.exit(1)
    address_space.spare()
    loaded = load(config, given)
    # Late: a mistake in the configuration needs none of what these bring along.
    preflight = importlib.import_module("dnsserver.app.preflight")
    found = [*preflight.findings(loaded.config, loaded.written), *preflight.hidden(loaded)]
    refused = [finding for finding in found if finding.level == "refused"]
    if refused:
        tell(loaded, refused)
        sys.exit(INVALID)
    app = importlib.import_module("dnsserver.app")
    log = importlib.import_module("dnsserver.log")
    log.configure_logging(loaded.config.log.level, loaded.config.log.format)
    log.report_uncaught()
    warnings = [(loaded.place(finding.key), finding.text, finding.level == "noted") for finding in found]
    sys.exit(app.run(loaded, warnings))


def load(path: Path | None, given: dict[str, Any]) -> Loaded:
    """Return the configuration, or tell all that is wrong with it and exit."""
    overrides = {
        KEYS.get(name, name): Override(f"--{name}", value) for name, value in given.items() if value not in {None, ()}
    }
    try:
        return read(path, overrides)
    except ConfigError as error:
        _say(error)
        sys.exit(INVALID)


def tell(loaded: Loaded, found: list[Any]) -> None:
    """Print findings on standard error, each with its file and line, not more than anybody reads."""
    warnings = ("warning: " if finding.level == "noted" else "" for finding in found)
    said = [
        loaded.problem(finding.key, f"{warning}{finding.text}")
        for finding, warning in zip(found, warnings, strict=True)
    ]
    for problem in in_order(said)[:_MOST_TOLD]:
        _say(problem)
    if len(found) > _MOST_TOLD:
        _say(f"and {len(found) - _MOST_TOLD} more")
