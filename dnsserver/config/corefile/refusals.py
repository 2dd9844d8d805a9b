"""Finds every mistake with which CoreDNS would not start, each with its line and perhaps what was meant.

The words of each line are compared with `grammar`. Relations between lines, and rules that have a grammar of their own,
are in `relations`. What an older version took, and plugins that people build in themselves, are no mistakes.
"""

from collections.abc import Iterable, Iterator

from dnsserver.config.corefile import absent
from dnsserver.config.corefile.grammar import ANY_LINES, PLUGINS, Plugin
from dnsserver.config.corefile.kinds import did_you_mean, mistake
from dnsserver.config.corefile.parser import Directive, ServerBlock
from dnsserver.config.corefile.relations import OF_PLUGIN
from dnsserver.config.corefile.zones import read_key

_IGNORING_CASE = {"cache", "header"}  # in words
_IGNORING_CASE_OF_OPTIONS = {"acl", "header"}


def refusals(blocks: Iterable[ServerBlock]) -> list[str]:
    """Return every reason for which CoreDNS would not start with these server blocks, as `FILE:LINE: SENTENCE`."""
    blocks = list(blocks)
    found = [*_twice(blocks)]
    for block in blocks:
        found += _keys(block)
        found += _block(block)
    return list(dict.fromkeys(found))


def _keys(block: ServerBlock) -> Iterator[str]:
    for text in block.keys:
        try:
            read_key(text)
        except ValueError:
            yield f"{block.file}:{block.line}: {text[:80]}: expected a domain, or a network, with or without :PORT"


def _twice(blocks: list[ServerBlock]) -> Iterator[str]:
    """Yield the zones that two server blocks have at the same port, without `view` or `bind` to distinguish them."""
    taken: dict[tuple[str, str, int], ServerBlock] = {}
    for block in blocks:
        if any(directive.name in {"view", "bind"} for directive in block.directives):
            continue
        for text in block.keys:
            try:
                key = read_key(text)
            except ValueError:
                continue
            for zone in key.zones:
                at = key.transport, zone, key.port
                if at in taken:
                    place = f"{taken[at].file}:{taken[at].line}"
                    yield f"{block.file}:{block.line}: {text}: this zone and port are already in {place}; expected once"
                taken.setdefault(at, block)


def _block(block: ServerBlock) -> Iterator[str]:
    there: dict[str, Directive] = {}
    for directive in block.directives:
        place = f"{directive.file}:{directive.line}"
        plugin = PLUGINS.get(directive.name)
        if plugin is None:
            if not any(directive.name in known for known in (absent.LOST, absent.DEFAULT, absent.FORMER)):
                yield f"{place}: {_unknown(directive)}"
            continue
        if not block.keys:
            continue  # without a zone, CoreDNS sets up none of its plugins, whatever is behind them
        first = there.setdefault(directive.name, directive)
        if plugin.once and first is not directive:
            yield f"{place}: {directive.name}: expected once in a server block; it is already in line {first.line}"
        yield from _directive(directive, plugin, block)
    if "k8s_external" in there and "kubernetes" not in there:
        external = there["k8s_external"]
        yield f"{external.file}:{external.line}: k8s_external: expected the plugin kubernetes in the same server block"


def _unknown(directive: Directive) -> str:
    """Return what a word is that stands in the place of a plugin."""
    name = directive.name[:80]
    near = did_you_mean(name, list(PLUGINS))
    if not near:
        owners = [plugin for plugin, grammar in PLUGINS.items() if name in (grammar.options or {})]
        if owners:
            return f"{name}: there is no such plugin; it is an option of {' and of '.join(owners)}, within its {{ }}"
    rest = near or "; remove the line if it is a plugin that you built in yourself"
    return f"{name}: there is no such plugin of CoreDNS{rest}"


def _directive(directive: Directive, plugin: Plugin, block: ServerBlock) -> Iterator[str]:
    name = directive.name
    ignoring = name in _IGNORING_CASE
    if found := mistake(_read(directive.args, ignoring), plugin.words):
        yield f"{directive.file}:{directive.line}: {name}: {found}"
    for line in directive.lines:
        option, *words = line.words
        place = f"{line.file}:{line.line}: {name} {option[:80]}"
        option = option.lower() if name in _IGNORING_CASE_OF_OPTIONS else option
        expected = (plugin.options or {}).get(option)
        if plugin.options is None:
            yield f"{place}: {name} takes no block; expected nothing between {{ and }}"
            break
        if expected is not None:
            if found := mistake(_read(words, ignoring), expected):
                yield f"{place}: {found}"
        elif option not in plugin.former and name not in ANY_LINES:
            yield f"{place}: {_no_option(name, option, plugin)}"
    special = OF_PLUGIN.get(name)
    if special is not None:
        for at, text in special(directive, block):
            yield f"{at.file}:{at.line}: {text}"


def _read(words: Iterable[str], ignoring_case: bool) -> list[str]:
    return [word.lower() if ignoring_case else word for word in words]


def _no_option(name: str, option: str, plugin: Plugin) -> str:
    known = list(plugin.options or {})
    near = did_you_mean(option, known)
    if not near and option in PLUGINS:
        return f"{option} is a plugin, not an option of {name}; is a }} missing above it?"
    return f"{name} has no such option{near or '; it has ' + ', '.join(known)}"
