"""Imports the plugin `log`: a line for each query, which `[[query_log]]` writes in the same format."""

from dnsserver.config.corefile.parser import Directive
from dnsserver.config.corefile.site import UNKNOWN, Context, Site, source_of, source_of_line
from dnsserver.config.corefile.zones import ROOT, names

_FORMATS = {"{common}": "common", "{combined}": "combined"}
_CLASSES = ("success", "denial", "error", "all")
_NOTE = "lines go to standard error, and of each kind at most about 5,000 are written in a second"


def log(context: Context, site: Site, directive: Directive) -> None:
    """Import which queries have a line: of names, by class, and in which form."""
    draft, source = context.draft, source_of(directive)
    texts, form = list(directive.args), "{common}"
    if texts and "{" in texts[-1]:
        form = texts.pop()
    zones, wrong = names(texts)
    for text in wrong:
        draft.lost(source, "log", f"{text} is not a zone name: its queries are not logged")
    if wrong and not zones:
        return
    classes = _classes(context, directive)
    if classes is None:
        return
    below = list(dict.fromkeys(part for zone in zones or [ROOT] for part in site.within(zone)))
    if not below:
        draft.differs(source, "log", "none of these names reaches this block, so CoreDNS logged nothing")
        return
    if form not in _FORMATS:
        text = (
            f'the custom format {form} is not supported: lines have the common one, or all fields with format = "json"'
        )
        draft.lost(source, "log", text)
    values: dict[str, object] = {"classes": classes}
    if ROOT not in below:
        values["below"] = below
    values |= {"rate": 0, "format": _FORMATS.get(form, "common")}
    draft.add("query_log", values, source, "log", _NOTE)
    if ROOT in below and any(other is not site and not other.has("log") for other in context.sites):
        draft.differs(source, "log", "queries of other server blocks, which were not logged before, are logged as well")


def _classes(context: Context, directive: Directive) -> list[str] | None:
    """Return the classes that are logged; None if CoreDNS does not start with these words."""
    found: list[str] = []
    for line in directive.lines:
        place, option, words = source_of_line(line), line.words[0], line.words[1:]
        unknown = [word for word in words if word not in _CLASSES]
        if option != "class":
            context.draft.lost(place, f"log {option}", UNKNOWN)
        elif unknown or not words:
            context.draft.lost(
                place, "log class", f"expected some of {', '.join(_CLASSES)}: the whole plugin is left out"
            )
            return None
        else:
            found += words
    wanted = dict.fromkeys(found)
    return ["all"] if not wanted or "all" in wanted else list(wanted)
