"""Recognizes text that is not a Corefile: an error message of kubectl, an empty file, a template, another format."""

import re
from typing import NamedTuple

from dnsserver.config.corefile.grammar import PLUGINS

_EXPECTED = "expected a Corefile, or a ConfigMap with one"
_KUBECTL = re.compile(
    r"error: |error from server|unable to connect|the connection to the server|no resources found|warning: |"
    r"couldn't get |you must be logged in|unauthorized|E\d{4} |command not found|bash: |sh: |-bash: ",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"__[A-Z][A-Z0-9_]*__")
# In the place of a domain or an upstream: Helm, envsubst, and the names in the scripts of CoreDNS itself.
_UNFILLED = re.compile(
    r"\{\{|\$\(|\$\{|\$[A-Za-z_]|@[A-Z_]+@|<[A-Za-z][\w .-]*>|"
    r"\b(?:CLUSTER_DOMAIN|REVERSE_CIDRS|UPSTREAMNAMESERVERS?)\b"
)
_VARIABLE = re.compile(r"\{[$%][^}]*\}")  # of the environment, which CoreDNS fills in itself
_TOML = re.compile(r"\[\[?[A-Za-z_][\w.-]*\]\]?\s*(?:#.*)?\Z|[A-Za-z_][\w.-]*\s*=\s*\S")
_JSON = re.compile(r'\{\s*["}]|\[\s*(?:["{\]]|\Z)')
_YAML = re.compile(r"(?:---\s*|- .*|[\w./-]+:(?:\s[^{]*)?)\Z")
_ZONED = ("kubernetes", "forward")


class Nonsense(NamedTuple):
    """A line, 0 for the whole file, and what is wrong with it, as a sentence."""

    line: int
    text: str


def nonsense(text: str) -> Nonsense | None:
    """Return why a text is no Corefile at all, None if it may be one."""
    if "\x00" in text:
        return Nonsense(text[: text.index("\x00")].count("\n") + 1, f"holds octets that are not text; {_EXPECTED}")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line.lstrip("\ufeff") and not line.startswith("#")]
    if not lines:
        return Nonsense(0, f"is empty, as a file is when kubectl has failed; {_EXPECTED}")
    number, first = lines[0]
    looks = _looks(first.lstrip("\ufeff"))
    if looks:
        return Nonsense(number, looks)
    return _template(lines) or _without_plugins(lines, text)


def _looks(first: str) -> str:
    """Return what a text is according to its first line; empty if it may be a Corefile."""
    if _KUBECTL.match(first):
        return f"holds the error message of a command, not a Corefile: {first[:160]}"
    kinds = {
        "HTML or XML": first.startswith("<"),
        "TOML, like a configuration of dnsserver": bool(_TOML.match(first)),
        "JSON without a ConfigMap in it": bool(_JSON.match(first)),
        "YAML without a ConfigMap in it": bool(_YAML.match(first)),
    }
    return next((f"looks like {kind}; {_EXPECTED}" for kind, fits in kinds.items() if fits), "")


def _template(lines: list[tuple[int, str]]) -> Nonsense | None:
    """Find a placeholder that a script should have replaced: without that, domain and upstreams are not known."""
    for number, line in lines:
        words = _VARIABLE.sub("", line).split() or [""]
        has_names = words[0] in _ZONED or (line.endswith(" {") and words[0] not in PLUGINS)
        found = _PLACEHOLDER.search(line) or (_UNFILLED.search(" ".join(words)) if has_names else None)
        if found:
            text = f"{found[0]} is a placeholder: this is a template; import the file that CoreDNS reads, such as"
            return Nonsense(number, f"{text} /etc/coredns/Corefile, or /etc/Corefile in a pod of NodeLocal DNSCache")
    return None


def _without_plugins(lines: list[tuple[int, str]], text: str) -> Nonsense | None:
    if len(lines) == 1 and "{" not in text and not lines[0][1].startswith("import "):
        return Nonsense(lines[0][0], f"found no server block with a plugin in it; {_EXPECTED}")
    return None
