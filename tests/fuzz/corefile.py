"""Corefiles: each is refused with its line, or becomes a configuration that can be read."""

import random
from pathlib import Path

from dnsserver.config.corefile import CorefileError, NotACorefileError
from tests.config.corefile.plugins import PLUGINS
from tests.config.corefile.reading import config, imported
from tests.config.corefile.test_any_corefile import OPTIONS, QUOTED, VALUES
from tests.fuzz.pieces import separated
from tests.fuzz.quick import remember_fields

_IMPORTED = {"a.example": "errors\n"}
_MOST = 2_000  # characters of a message

remember_fields()
_WORDS = (*VALUES, *(f'"{text}"' for text in QUOTED))
# Directives that are right, with most of what can be said in each; `;` stands for the end of a line.
_RIGHT = (Path(__file__).parent / "corpus/corefile.directives").read_text().splitlines()
_RIGHT += ['log . "x\x7f"']  # a line becomes a comment, which takes no control character
_HEADS = """
{} {{;{}:53 {{;{} a.example {{;tls://{} {{;(snip) {{;a.example:5353, {} {{;{};cluster.local {{
""".strip().split(";")


def _directive(chance: random.Random) -> bytes:
    """Return a directive that is right, one that hardly is, or the head or end of a server block."""
    kind = chance.random()
    if kind < 0.5:
        return chance.choice(_RIGHT).replace(" ; ", "\n").encode()
    if kind < 0.7:
        return chance.choice(
            (chance.choice(_HEADS).format(chance.choice(VALUES)), "}", "}\n. {", "import snip")
        ).encode()
    words = [chance.choice(PLUGINS if kind < 0.8 else OPTIONS if kind < 0.9 else _WORDS)]
    words += [chance.choice(_WORDS) for _ in range(chance.randrange(4))]
    words += ["{"] if chance.random() < 0.3 else []
    return " ".join(words).encode()


PIECES = separated(b"\n", _directive)


def run(data: bytes) -> None:
    """Import a text; if it is accepted, load the configuration that it becomes, and check the findings."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        result = imported(text, _IMPORTED)
    except (CorefileError, NotACorefileError):
        return
    config(result)
    for finding in result.findings:
        assert finding.text.strip()
        assert len(finding.text) <= _MOST
        assert finding.source.line >= 0
