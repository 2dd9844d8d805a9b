"""Which rule applies to a name, among any number of rules; the fast check never misses a rule."""

from collections.abc import Sequence

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from dnsserver.resolver.answers import FixedAnswer
from dnsserver.resolver.filters import Node, ends_of, name_filter
from dnsserver.resolver.hosts import Hosts
from dnsserver.resolver.matching import Condition, Prefix, Table, read_prefix
from dnsserver.resolver.rewrites import Rewrite
from dnsserver.resolver.rules import Rules, RuleSet, differ
from dnsserver.wire.name import from_text, is_below, to_text

CLUSTER = from_text("z")
LABELS = ("a", "ab", "b", "svc", "z", "x-a")
names = st.lists(st.sampled_from(LABELS), min_size=1, max_size=5).map(lambda found: from_text(".".join(found)))
below = st.lists(names, max_size=2).map(tuple)
prefixes = st.sampled_from(["a", "ab", "x-", "a.", "a.b", "svc.z", "b.x-a."]).map(read_prefix)
conditions = st.one_of(
    st.builds(Condition, name=names, excepted=below),
    st.builds(Condition, prefix=prefixes, below=below, excepted=below),
    st.builds(Condition, suffix=names, inside=st.booleans(), below=below, excepted=below),
    st.builds(Condition, regex=st.sampled_from([r"^a", r"b\.svc\.", r"x"]), below=below),
    st.builds(Condition, below=st.lists(names, min_size=1, max_size=2).map(tuple)),
)


def fits(condition: Condition, name: bytes) -> bool:
    """Tell whether a condition fits, in the simplest way."""
    text = to_text(name)
    whole = {Prefix(b"", b""): ""}
    within = not condition.below or any(is_below(name, domain) for domain in condition.below)
    if not (within or condition.name is not None) or any(is_below(name, domain) for domain in condition.excepted):
        return False
    if condition.name is not None:
        return name == condition.name
    if condition.prefix is not None:
        prefix = condition.prefix
        shown = to_text(prefix.labels + b"\0") if prefix.labels else ""
        whole[prefix] = shown + prefix.part.decode()
        return text.startswith(whole[prefix])
    if condition.suffix is not None:
        return is_below(name, condition.suffix) and not (condition.inside and name == condition.suffix)
    if condition.regex is not None:
        return {"^a": text.startswith("a"), r"b\.svc\.": "b.svc." in text, "x": "x" in text}[condition.regex]
    return True


@given(st.lists(conditions, max_size=6), names)
def test_the_first_rule_that_fits_is_found(rules: Sequence[Condition], name: bytes) -> None:
    table = Table(list(zip(rules, range(len(rules)), strict=True)))
    found = table.find(name, 1)
    wanted = next((number for number, condition in enumerate(rules) if fits(condition, name)), None)
    assert (None if found is None else found.rule) == wanted


hosts = st.lists(names, max_size=2).map(
    lambda found: "\n".join(f"192.0.2.1 {to_text(name).removesuffix('.')}" for name in found)
)


@given(st.lists(conditions, max_size=5), st.lists(conditions, max_size=2), hosts, names)
@example([], [], "192.0.2.1 a.b.svc.z", from_text("a.b.svc.z"))
def test_a_glance_never_overlooks_a_rule(
    answers: Sequence[Condition], rewrites: Sequence[Condition], text: str, name: bytes
) -> None:
    table = Hosts()
    to: dict[bool, object] = {True: Prefix(b"", b"y"), False: from_text("y")}
    given_to = [Rewrite(c, "y" if c.regex else to[c.prefix is not None]) for c in rewrites]  # type: ignore[arg-type]
    rules = Rules(
        RuleSet(tuple(given_to), tuple(FixedAnswer(condition, rcode="NXDOMAIN") for condition in answers)),
        [table],
        CLUSTER,
    )
    table.load(text)
    rules.hosts_changed(table.names)
    has_one = rules.rewritten(name) is not None or rules.answer(name, 1) is not None
    assert rules.concerns(name) or not has_one
    service, namespace, *rest = to_text(name).encode().split(b".")
    if rest == [b"svc", b"z", b""]:
        concerns = rules.services is not None and rules.services(namespace, service)
        assert concerns or not has_one


@given(st.lists(names, min_size=1, max_size=8), names)
def test_ends_and_beginnings_are_told_exactly(found: list[bytes], name: bytes) -> None:
    assert name_filter([()], found, ())(name) == any(name.endswith(one) for one in found)
    heads = [one[1 : 1 + one[0]] for one in found]
    label = name[1 : 1 + name[0]]
    assert name_filter([()], (), heads)(name) == any(label.startswith(head) for head in heads)


@given(st.lists(conditions, max_size=4), st.lists(conditions, max_size=4), names)
def test_names_whose_rules_differ_are_told(one: list[Condition], other: list[Condition], name: bytes) -> None:
    def rules(found: list[Condition]) -> Rules:
        return Rules(RuleSet(answers=tuple(FixedAnswer(c, rcode="NXDOMAIN") for c in found)), [], CLUSTER)

    before, after = rules(one), rules(other)
    assert not differ(before, rules(one), name)
    if before.answer(name, 1) != after.answer(name, 1):
        assert differ(before, after, name)


def test_a_thousand_rules_do_not_make_a_name_that_none_is_for_look_longer() -> None:
    """The test counts comparisons: how many entries of the tables of suffixes and prefixes are looked at."""
    domains = [from_text(f"s{number}.example") for number in range(1000)] + [from_text("corp")]
    depth = 0
    node: Node | None = ends_of(domains)
    name = from_text("www.example")
    while node is not None and name[node.size :] in node.table:
        node, depth = node.table[name[node.size :]], depth + 1
    assert depth <= 2


def test_rule_sets_are_equal_as_values() -> None:
    one = RuleSet(
        (Rewrite(Condition(name=b"\1a\0"), b"\1b\0"),), (FixedAnswer(Condition(name=b"\1a\0"), ("@ A 192.0.2.1",)),)
    )
    other = msgspec.structs.replace(one, answers=())
    assert one == RuleSet(one.rewrites, one.answers)
    assert one != other
