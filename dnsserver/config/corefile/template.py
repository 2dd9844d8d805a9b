"""Imports the plugin `template`: answers that are computed from the question."""

import re
from typing import NamedTuple

from dnsserver.config.corefile import patterns
from dnsserver.config.corefile.cache import shown_ttl
from dnsserver.config.corefile.draft import Source
from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import NO_NAME, UNKNOWN, Context, Site, source_of, source_of_line
from dnsserver.config.corefile.zones import belonging, names

_WHAT = "template"
_RCODES = {"NXDOMAIN": "NXDOMAIN", "REFUSED": "REFUSED", "NOERROR": "NODATA"}
_OWNER = re.compile(r"\s*(\{\{.*?\}\}|\S+)\s+(.*)", re.DOTALL)
_CLASS = re.compile(r"\{\{-?\s*\.Class\s*-?\}\}")
_RECORD = re.compile(
    r"(?:(?P<ttl>\d{1,10})\s+)?(?:IN\s+)?(?:(?P<later>\d{1,10})\s+)?(?P<type>[A-Za-z0-9]+)\s+(?P<rdata>.+)", re.DOTALL
)
_LONGEST_TTL = 2**31 - 1
_USUAL_TTL = "3600"  # of a record without one, in CoreDNS


class _Template(NamedTuple):
    """The settings in the block of a template."""

    patterns: list[str]
    answers: list[tuple[str, Source]]
    rcode: str
    falls_through: bool
    longest: int  # TTL that clients saw


def template(context: Context, site: Site, directive: Directive) -> None:
    """Import one template: an `[[answer]]` for each of its expressions."""
    draft, source = context.draft, source_of(directive)
    if len(directive.args) < 2:
        draft.lost(source, _WHAT, "has no class and type, without which CoreDNS does not start: left out")
        return
    class_, type_, *arguments = directive.args
    if class_.upper() not in {"IN", "ANY"}:
        draft.lost(source, _WHAT, f"questions of class {class_} are refused: clients that ask them get no answer")
        return
    given, wrong = names(arguments) if arguments else (list(site.zones), [])
    for text in wrong:
        draft.lost(source, _WHAT, f"{text} is not a zone name")
    zones = context.of_block(site, given)
    if not zones:
        if given:
            draft.differs(source, _WHAT, NO_NAME)
        return
    said = _read(context, site, directive, zones)
    made = [_answer(context, site, given, type_, pattern, said, source) for pattern in said.patterns or [""]]
    if not all(made) or not said.patterns or said.falls_through:
        return
    text = "without `fallthrough`, names that no expression matches are refused, where CoreDNS said SERVFAIL"
    draft.differs(source, _WHAT, text)
    values: dict[str, object] = {"below": zones, **context.others(site, zones)}
    if type_.upper() != "ANY":
        values["types"] = [type_.upper()]
    draft.add("answer", {**values, "rcode": "REFUSED"}, source, _WHAT)


def _read(context: Context, site: Site, directive: Directive, zones: list[str]) -> _Template:
    """Read the block."""
    draft = context.draft
    expressions: list[str] = []
    answers: list[tuple[str, Source]] = []
    rcode, through = "NOERROR", False
    for line in directive.lines:
        place, option, arguments = source_of_line(line), line.words[0], list(line.words[1:])
        what = f"template {option}"
        match option:
            case "match":
                expressions += arguments
            case "answer":
                answers += [(argument, place) for argument in arguments]
            case "rcode" if arguments:
                rcode = arguments[0].upper()
            case "fallthrough":
                through = True
                if arguments and not all(belonging(zone, names(arguments)[0]) for zone in zones):
                    draft.differs(
                        place, what, "names of all zones of the template fall through if no expression matches"
                    )
            case "upstream":
                draft.default(place, what, "CoreDNS itself ignores it now")
            case "authority" if arguments and all(" SOA " in argument.upper() for argument in arguments):
                text = "a negative answer has an SOA of the rule's domain, with a TTL of 60 seconds"
                draft.default(place, what, text)
            case "authority" | "additional":
                draft.lost(
                    place, what, "replies have only records that answer the question: clients ask for the others"
                )
            case "ederror":
                draft.differs(place, what, "the extended error in the reply (RFC 8914) says that a rule answered")
            case _:
                draft.lost(place, what, UNKNOWN)
    return _Template(expressions, answers, rcode, through, shown_ttl(site, zones, _LONGEST_TTL))


def _answer(
    context: Context, site: Site, given: list[str], type_: str, pattern: str, said: _Template, source: Source
) -> bool:
    """Add the rule for one expression, in the zones `given` to the template; tell whether that was possible."""
    draft = context.draft
    if len(given) > 1 and any(".Zone" in text for text, _ in said.answers):
        return all(_answer(context, site, [zone], type_, pattern, said, source) for zone in given)
    zones = context.of_block(site, given)
    if not zones:
        return True
    values: dict[str, object] = {}
    records = []
    needs_whole = False
    for text, place in said.answers:
        record = _record(text, pattern, given[0], said.longest)
        if record is None:
            what = "computes more than [[answer]] can: its names are looked up in the cluster and upstream"
            draft.lost(place, "template answer", f"{text[:80]} {what}")
            return False
        records.append(record.text)
        needs_whole |= record.needs_whole
    if pattern:
        values["regex"] = patterns.around(pattern) if needs_whole else pattern
    values |= {"below": zones, **context.others(site, zones)}
    if type_.upper() != "ANY":
        values["types"] = [type_.upper()]
    if records and said.rcode == "NOERROR":
        values["records"] = records
        if type_.upper() == "ANY" and not any(" CNAME " in record for record in records):
            text = "other types of these names are empty (NODATA), where CoreDNS gave the records for every type"
            draft.differs(source, "template answer", text)
    elif said.rcode in _RCODES:
        values["rcode"] = _RCODES[said.rcode]
        if records:
            draft.lost(source, "template answer", f"a reply with rcode {said.rcode} has no records")
    else:
        values["rcode"] = "REFUSED"
        draft.differs(source, "template rcode", f"REFUSED instead of {said.rcode}: clients go on to their next server")
    draft.add("answer", values, source, _WHAT)
    return True


def _record(text: str, pattern: str, zone: str, longest: int) -> patterns.Text | None:
    """Return the record of an answer in the form of our rules; without a written owner, that is the name asked."""
    parts = _OWNER.fullmatch(text)
    if parts is None:
        return None
    found = _RECORD.fullmatch(" ".join(_CLASS.sub("IN", parts[2]).split()))
    if found is None:
        return None
    rdata = patterns.from_template(found["rdata"], pattern, zone)
    if rdata is None:
        return None
    ttl = min(int(found["ttl"] or found["later"] or _USUAL_TTL), longest)
    return patterns.Text(f"@ {ttl} IN {found['type'].upper()} {rdata.text}", rdata.needs_whole)
