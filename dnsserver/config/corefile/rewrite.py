"""Imports the plugin `rewrite`: questions that are looked up under another name."""

import re

from dnsserver.config.corefile import patterns
from dnsserver.config.corefile.draft import Source
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import Context, Site, source_of
from dnsserver.config.corefile.zones import ROOT, is_below
from dnsserver.config.values import Domain

_WHAT = "rewrite"
_WITH_ALIASES = ("kubernetes", "file", "template")
_KINDS = {"exact", "prefix", "suffix", "substring", "regex"}
_LOST = {
    "class": "questions of classes other than IN are refused: clients that ask in class {0} get no answer",
    "type": "a question keeps its type: clients that ask for {0} get {0}, and not {1}",
    "edns0": "EDNS options are neither added to questions nor read from them: upstreams that need them get none",
    "ttl": "TTLs are not rewritten: clients cache answers for {0} for the TTL that was found; cache.ttl_cap and "
    "cache.ttl_floor limit the TTLs of all answers from outside",
    "cname": "targets of aliases are not rewritten: clients follow the CNAME as it is",
    "rcode": "rcodes are not rewritten: clients see the one that was found for {0}",
}


def rewrite(context: Context, site: Site, directive: Directive) -> None:
    """Import one rule."""
    draft, source = context.draft, source_of(directive)
    words = list(directive.args)
    if len(words) < 2:
        for line in directive.lines:
            words += line.all_words
        source = source._replace(text=" ".join(("rewrite", *words)))
    goes_on = words[:1] == ["continue"]
    if words[:1] in (["continue"], ["stop"]):
        words = words[1:]
    field = words[0].lower() if words else ""
    if field in _LOST:
        arguments = [word for word in words[1:] if word not in _KINDS] + ["it", "another"]
        draft.lost(source, f"rewrite {field}", _LOST[field].format(*arguments))
        return
    if field != "name" or len(words) < 3:
        draft.lost(source, _WHAT, "is not a rule that CoreDNS starts with: left out")
        return
    if goes_on and _is_followed(site, directive):
        text = "only one rule is applied to a question: the name that it gives is not rewritten by the rules below it"
        draft.lost(source, "rewrite continue", text)
    _name(context, site, words[1:], source)


def _is_followed(site: Site, directive: Directive) -> bool:
    rules = [other for other in site.block.directives if other.name == _WHAT]
    return rules[-1] is not directive


def _name(context: Context, site: Site, words: list[str], source: Source) -> None:
    """Import a rule on the name: [KIND] FROM TO [answer ...]."""
    draft = context.draft
    kind = "exact" if len(words) == 2 else words[0].lower()
    if kind not in _KINDS:
        draft.lost(source, "rewrite name", f"{kind} is not a way of comparing names that CoreDNS knows: left out")
        return
    given, to, *rest = words if len(words) == 2 else words[1:]
    answers = _answers(context, kind, rest, source)
    values = _values(site, kind, given, to)
    if values is None:
        text = "cannot be written as one rule on whole labels: names that it matched are looked up unchanged"
        draft.lost(source, f"rewrite name {kind}", text)
        return
    if kind == "regex" and "value" in rest:
        values = patterns.as_suffix(given, to) or values
        if "regex" in values:
            text = (
                "a name to which a record leads is changed back if it is the one that was looked up, or lies below it"
            )
            draft.differs(source, "rewrite answer value", text)
    if answers:
        values["answers"] = "names"
    elif kind != "exact" and not rest:
        text = "the reply has the name that was asked for, where CoreDNS left the rewritten one in it"
        draft.differs(source, f"rewrite name {kind}", text)
    if not site.is_root:
        values["below"] = site.zones
    if not all(context.reaches(site, domain) for domain in _where(site, values)):
        draft.differs(source, f"rewrite name {kind}", "no name reaches it, because of another server block: left out")
        return
    values |= context.others(site, _where(site, values))
    draft.add("rewrite", values, source, f"rewrite name {kind}")
    if not site.is_root and not site.has("kubernetes") and is_below(str(values["to"]).rstrip("."), context.domain):
        text = "names that it rewrites into the cluster are answered here, and not by the upstreams of this block"
        draft.differs(source, f"rewrite name {kind}", text)
        return
    _hand_on(context, site, values, source)
    first = next(other for other in site.block.directives if other.name == _WHAT)
    if (first.file, first.line) == (source.file, source.line) and any(map(site.has, _WITH_ALIASES)):
        text = "an alias, such as an ExternalName, that leads to such a name is not rewritten: write an [[answer]]"
        draft.differs(source, _WHAT, text)


def _answers(context: Context, kind: str, words: list[str], source: Source) -> bool:
    """Read how names in the reply are renamed; tell whether targets and names below are renamed, too."""
    names = kind == "exact"
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "answer":
            continue
        if word == "auto":
            names = True
        elif word in {"name", "value"} and len(words) >= at + 2:
            at += 2
            names |= word == "value"
            text = "this same rule, and not a second one, changes names in the reply back to those that were asked"
            context.draft.differs(source, f"rewrite answer {word}", text)
        elif word == "name" and words[at : at + 1] == ["auto"]:
            continue
        else:
            context.draft.lost(source, "rewrite answer", f"{word} is not an option that this importer knows: left out")
            break
    return names


def _values(site: Site, kind: str, given: str, to: str) -> dict[str, object] | None:
    """Return the keys of our rule; None if the rule has no counterpart."""
    match kind:
        case "exact":
            return {"name": _name_of(given), "to": _name_of(to)} if _is_name(given) and _is_name(to) else None
        case "prefix":
            good = _is_name(given) and _is_name(to)
            return {"prefix": f"{_name_of(given)}.", "to": f"{_name_of(to)}."} if good else None
        case "suffix":
            return _suffix(site, given, to)
        case "substring":
            return patterns.rewrite(f"^(.*){re.escape(_dotted(given))}(.*)$", f"{{1}}{_dotted(to)}{{2}}")
        case _:
            return patterns.rewrite(given, _dotted(to))


def _where(site: Site, values: dict[str, object]) -> list[str]:
    """Return the domains in which names are that a rule is for, as far as it says so."""
    given = str(values.get("name") or values.get("suffix") or "").removeprefix(".")
    return [given] if given else site.zones


def _suffix(site: Site, given: str, to: str) -> dict[str, object] | None:
    """Return the keys of our rule for an end of names, which CoreDNS compares as text."""
    if given.startswith(".") and to.startswith("."):
        good = _is_name(given[1:]) and _is_name(to[1:])
        return {"suffix": f".{_name_of(given[1:])}", "to": _name_of(to[1:])} if good else None
    if _is_name(given) and _is_name(to) and all(is_below(zone, _name_of(given)) for zone in site.zones):
        return {"suffix": _name_of(given), "to": _name_of(to)}  # no name of the block ends so within a label
    return patterns.rewrite(f"^(.*){re.escape(_dotted(given))}$", f"{{1}}{_dotted(to)}")


def _dotted(text: str) -> str:
    """Return a name as CoreDNS compares it, in lower case and with its last dot."""
    return text.lower() if text.endswith(".") else f"{text.lower()}."


def _name_of(text: str) -> str:
    return text.lower().removesuffix(".")


def _is_name(text: str) -> bool:
    try:
        Domain.parse(text)
    except ValueError:
        return False
    return text.isascii() and not any(character in text for character in "\\\"'{}()")


def _hand_on(context: Context, site: Site, values: dict[str, object], source: Source) -> None:
    """Note the domain outside a block to which its rules lead: CoreDNS never leaves the block, and asks its upstreams.

    A prefix, and what changes within a name, keep the names in their block.
    """
    to = str(values["to"]).removesuffix(".")
    if "prefix" in values or (site.has("kubernetes") and is_below(to, context.domain)):
        return
    before, brace, end = to.rpartition("}")
    domain = end if not brace else end.removeprefix(".") if end.startswith(".") else ""
    if any(is_below(to, zone) for zone in site.zones if zone != ROOT) or (not end and "{1}" in before):
        return
    if _is_name(domain):
        context.handed_on.append((site, domain, source))
    elif not site.is_root:
        text = "names outside of this block, to which it leads, are asked for like all others, and not at its upstreams"
        context.draft.lost(source, _WHAT, text)
