"""Turns the text of a Corefile, or of kube-dns's ConfigMap, into TOML and findings."""

from collections.abc import Callable, Mapping

import msgspec

from dnsserver.config.corefile import (
    absent,
    acl,
    cache,
    forward,
    hosts,
    kubedns,
    kubernetes,
    log,
    rewrite,
    server,
    template,
    toml,
    zone_files,
)
from dnsserver.config.corefile.configmap import Sources
from dnsserver.config.corefile.draft import Draft, Finding, Source
from dnsserver.config.corefile.parser import CorefileError, Directive, ImportedFile, Parsed, ServerBlock, parse
from dnsserver.config.corefile.refusals import refusals
from dnsserver.config.corefile.site import Context, Files, Site, source_of
from dnsserver.config.corefile.sites import sites
from dnsserver.config.corefile.zones import is_below, is_reverse, names

_Plugin = Callable[[Context, Site, Directive], None]

# In the order in which CoreDNS passes a question through them, which is not that of the file (its plugin.cfg).
_PLUGINS: dict[str, _Plugin] = {
    "bufsize": server.bufsize,
    "bind": server.bind,
    "ready": server.ready,
    "health": server.health,
    "prometheus": server.prometheus,
    "errors": server.errors,
    "log": log.log,
    "local": server.local,
    "loadbalance": server.loadbalance,
    "rewrite": rewrite.rewrite,
    "autopath": kubernetes.autopath,
    "acl": acl.acl,
    "header": server.header,
    "template": template.template,
    "hosts": hosts.hosts,
    "kubernetes": kubernetes.kubernetes,
    "auto": zone_files.auto,
    "file": zone_files.file,
    "cache": cache.cache,
    "forward": forward.forward,
    "view": server.view,
}
_MOST_REFUSALS = 100
_FIRST = ("kubernetes",)  # whose domain others ask for


class Imported(msgspec.Struct, frozen=True):
    """What became of a Corefile: TOML, and what is to be said of it."""

    toml: str
    findings: tuple[Finding, ...]

    @property
    def losses(self) -> int:
        """How many things have no counterpart."""
        return sum(finding.kind == "lost" for finding in self.findings)


def import_text(
    given: Sources,
    files: Files,
    imports: Callable[[str, str], list[ImportedFile]],
    environment: Mapping[str, str],
    mistakes: Callable[[str], list[tuple[int, str]]],
) -> Imported:
    """Return what becomes of a Corefile; raises CorefileError for one that CoreDNS would not start with.

    `imports` gives the files that an `import` in a file names, `mistakes` says what our reader finds wrong in a TOML
    text, each with its line: what it does not take is taken out again, and named as lost.
    """
    draft = Draft()
    if given.kube_dns is not None:
        kubedns.kube_dns(draft, given.name, given.kube_dns)
        forward.trust_all(draft)
    else:
        parsed = parse(given.corefile, given.name, imports, environment)
        _refuse(parsed, given.name)
        for remark in parsed.remarks:
            say = draft.lost if remark.lost else draft.differs
            say(Source(remark.file, remark.line, ""), "import", remark.text)
        _blocks(Context(draft, *sites(_as_now(parsed.blocks, draft), draft), files))
    heading = f"From {given.name}, by `dnsserver import-corefile`; zones/dnsserver.toml explains each setting."
    text = _accepted(draft, heading, given.name, mistakes)
    return Imported(text, tuple(sorted(draft.findings, key=lambda finding: (finding.source.file, finding.source.line))))


def _as_now(blocks: tuple[ServerBlock, ...], draft: Draft) -> tuple[ServerBlock, ...]:
    """Return the blocks with plugins of former versions under the names that they have now."""
    made = []
    for block in blocks:
        directives = []
        for directive in block.directives:
            name = absent.FORMER.get(directive.name, directive.name)
            if name != directive.name:
                text = f"{directive.name}, which CoreDNS no longer has, is imported like {name}"
                draft.differs(source_of(directive), directive.name, text)
            directives.append(directive._replace(name=name))
        made.append(block._replace(directives=tuple(directives)))
    return tuple(made)


def _refuse(parsed: Parsed, name: str) -> None:
    """Raise CorefileError with every reason for which CoreDNS would not start, or if there is nothing to import."""
    unset = {f"{remark.file}:{remark.line}:": remark.text for remark in parsed.remarks if " is not set " in remark.text}
    if not any(block.keys for block in parsed.blocks):
        what = "no server block has a zone" if parsed.blocks else "found no server block"
        notes = "".join(f"\n{place} {text}" for place, text in unset.items())
        raise CorefileError(f"{name}: {what}; expected at least one, as in `. {{ errors }}`{notes}")
    found = refusals(parsed.blocks)
    found = [
        f"{text}; {note}" if (note := next((unset[place] for place in unset if text.startswith(place)), "")) else text
        for text in found
    ]
    if len(found) > _MOST_REFUSALS:
        found[_MOST_REFUSALS:] = [f"{name}: and {len(found) - _MOST_REFUSALS} more"]
    if found:
        raise CorefileError("\n".join(found))


def _blocks(context: Context) -> None:
    """Import every plugin of every server block."""
    every = [(site, directive) for site in context.sites for directive in site.block.directives]
    for _, directive in every:
        if directive.name == "root" and directive.args:
            context.root = directive.args[0]
            context.draft.default(source_of(directive), "root", "paths relative to it are written out in full")
    order = [*_FIRST, *(name for name in _PLUGINS if name not in _FIRST)]
    for name in order:
        for site, directive in every:
            if directive.name == name:
                _PLUGINS[name](context, site, directive)
    for _, directive in every:
        if directive.name not in _PLUGINS and directive.name != "root":
            _absent(context, directive)
    if not any(directive.name == "kubernetes" for _, directive in every):
        text = f"names of {context.domain}, and of the addresses of Services and pods, are answered here from the API"
        context.draft.differs(context.sites[0].source, "server block", f"{text}, where no `kubernetes` did so")
    _silent(context, [directive for _, directive in every if directive.name != "view"])
    for site in context.sites:
        _end_of(context, site)
    _handed_on(context)
    zone_files.settle(context)
    forward.trust_all(context.draft)
    if not any(site.is_root for site in context.sites):
        context.draft.settings.pop("upstreams", None)
        context.draft.put(
            "upstreams",
            [],
            context.sites[0].source,
            "server block",
            "there is no block for all other names: they are refused",
        )


def _silent(context: Context, directives: list[Directive]) -> None:
    """Report every line that no function has reported, such as a plugin without the arguments that it needs."""
    named = {(finding.source.file, finding.source.line) for finding in context.draft.findings}
    for directive in directives:
        places = [(directive.file, directive.line), *((line.file, line.line) for line in directive.lines)]
        if named.isdisjoint(places):
            text = "has nothing that can be imported: CoreDNS does not start with it, or ignores it"
            context.draft.lost(source_of(directive), directive.name, text)


def _absent(context: Context, directive: Directive) -> None:
    """Report a plugin that has no setting here."""
    source, name = source_of(directive), directive.name
    if name == "k8s_external":
        _external(context, directive)
    elif name in absent.DEFAULT:
        context.draft.default(source, name, absent.DEFAULT[name])
    elif name in absent.LOST:
        context.draft.lost(source, name, absent.LOST[name])
    else:
        text = "is a plugin that this importer does not know: clients of this block lose what it did"
        context.draft.lost(source, name, text)


def _external(context: Context, directive: Directive) -> None:
    """Import the zones of `k8s_external` as domains in which nothing exists: CoreDNS says so of all other names."""
    source, zones = source_of(directive), names(directive.args)[0]
    context.draft.lost(source, "k8s_external", absent.LOST["k8s_external"])
    if zones and not any(line.words[0] == "fallthrough" for line in directive.lines):
        note = "remove it once an upstream has these names"
        context.draft.extend("local.domains", zones, source, "k8s_external", note)


def _end_of(context: Context, site: Site) -> None:
    """Handle names for which no plugin of a block answers: CoreDNS never goes on to another block."""
    draft = context.draft
    if site.has("forward") and not site.has("cache"):
        cap = draft.settings.get("cache.ttl_cap")
        whole = "their whole TTL, without a setting"
        long = whole if cap is None else f"{cap.value} seconds at most, as {cap.sources[0].place()} says for all names"
        draft.default(site.source, "cache", f"answers from outside are cached for {long}")
    if site.has("forward"):
        forward.refuse_excepted(context, site)
        return
    if site.is_root:
        draft.put("upstreams", [], site.source, "server block", "no `forward`: names outside the cluster are refused")
        return
    taken = {entry.values["domain"] for entry in draft.tables.get("forward", [])} | {context.domain, *context.seconds}
    for zone in site.zones:
        if zone not in taken and not (is_reverse(zone) and site.has("kubernetes")):
            note = "no `forward` in this block: names that nothing in it answers are refused"
            draft.add("forward", {"domain": zone, "upstreams": []}, site.source, "server block", note)


def _handed_on(context: Context) -> None:
    """Forward the domains that rules of a block lead to, in the same way as the block's own names."""
    draft = context.draft
    for site, domain, source in context.handed_on:
        tables = draft.tables.get("forward", [])
        own = [entry for entry in tables if entry.values["domain"] in site.zones]
        above = [entry for entry in tables if is_below(domain, entry.values["domain"])]
        there = max(above, key=lambda entry: len(entry.values["domain"]), default=None)
        within = {source_of(directive) for directive in site.block.directives}
        if there is not None and not within.isdisjoint(there.sources):
            continue  # to where CoreDNS asks for it as well
        if there is not None and (site.is_root or there.values["domain"] == domain):
            if not own or own[0].values["upstreams"] != there.values["upstreams"]:
                place = there.sources[0].place()
                text = f"names below {domain} are asked for at the upstreams of {place}, and not at those of this block"
                draft.lost(source, "rewrite", text)
        elif own:
            draft.add("forward", {**own[0].values, "domain": domain}, source, "rewrite")
            text = f"a name below {domain} that a client asks for directly goes to these upstreams as well"
            draft.differs(source, "rewrite", text)


def _accepted(draft: Draft, heading: str, name: str, mistakes: Callable[[str], list[tuple[int, str]]]) -> str:
    """Return the TOML without what our own reader refuses; that is reported as lost."""
    text = toml.render(draft, heading)
    while found := mistakes(text):
        if not toml.take_out(draft, text, found):
            draft.lost(Source(name, 0, ""), "configuration", f"is not accepted by dnsserver: {found[0][1]}")
            return text
        text = toml.render(draft, heading)
    return text
