"""Turns the rules of a configuration into the resolver's form, and finds the mistakes in them."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from dnsserver.config.domains import misspelled
from dnsserver.config.model import AnswerRule, Config, Rewrite
from dnsserver.config.values import Domain
from dnsserver.resolver import answers, rewrites
from dnsserver.resolver.hosts import read_line
from dnsserver.resolver.matching import Condition, read_prefix
from dnsserver.resolver.patterns import GapText, Pattern, RuleError
from dnsserver.resolver.rules import RuleSet
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import is_below, labels

_WAYS = ("name", "prefix", "suffix", "regex")
_IN_GAPS = ("a", "", "0")  # of which one makes a name, if anything does

Mistake = tuple[str, str]


def rule_set(config: Config) -> RuleSet:
    """Return the rules of a valid configuration, hosts apart."""
    return RuleSet(
        tuple(map(_rewrite, config.rewrite)),
        tuple(map(_answer, config.answer)),
        tuple(forward.domain.wire for forward in config.forward if is_below(forward.domain.wire, config.domain.wire)),
    )


def mistakes(config: Config) -> Iterator[Mistake]:
    """Yield what keeps rules from being in force: a key, and a sentence about it."""
    for index, rewrite in enumerate(config.rewrite):
        yield from _rewrite_mistakes(f"rewrite[{index}]", rewrite)
    for index, answer in enumerate(config.answer):
        yield from _answer_mistakes(f"answer[{index}]", answer)
    for index, hosts in enumerate(config.hosts):
        key = f"hosts[{index}]"
        if not hosts.entries and hosts.file is None:
            yield key, 'has neither entries nor a file, expected one of them, as in entries = ["192.0.2.9 nas.example"]'
        for number, entry in enumerate(hosts.entries):
            try:
                _, names = read_line(entry)
            except FormatError as error:
                yield f"{key}.entries[{number}]", str(error)
            else:
                if not names:
                    yield f"{key}.entries[{number}]", "is empty, expected an address and its names"
        yield from _domain_mistakes(f"{key}.below", hosts.below)
        yield from _domain_mistakes(f"{key}.authoritative_below", hosts.authoritative_below)
        yield from _domain_mistakes(f"{key}.except", hosts.except_)


def _rewrite_mistakes(key: str, rewrite: Rewrite) -> Iterator[Mistake]:
    given = [way for way in _WAYS if getattr(rewrite, way) is not None]
    if len(given) != 1:
        found = f"has {' and '.join(given)}" if given else "does not say which names it is for"
        yield key, f"{found}; expected one of name, prefix, suffix and regex"
        return
    yield from _domain_mistakes(f"{key}.below", rewrite.below)
    yield from _domain_mistakes(f"{key}.except", rewrite.except_)
    (way,) = given
    try:
        condition = _rewrite_condition(rewrite)
        if rewrite.regex is not None:
            Pattern(rewrite.regex)
    except RuleError as error:
        yield f"{key}.{way}", str(error)
        return
    yield from _name_mistakes(f"{key}.name", rewrite.name)
    if way in {"name", "suffix"} and _lies_nowhere(condition):
        yield f"{key}.below", f"{way} is in none of these domains: the rule matches no name"
    if condition.prefix is not None and not condition.prefix.labels and not condition.prefix.part:
        yield f"{key}.prefix", "is empty, expected the beginning of the names"
    try:
        rewrites.Rewrites((_rewrite(rewrite),))
        if rewrite.regex is not None:
            _see_to_names(rewrite.to, Pattern(rewrite.regex).groups)
    except RuleError as error:
        yield f"{key}.to", str(error)


def _answer_mistakes(key: str, answer: AnswerRule) -> Iterator[Mistake]:
    if answer.name is not None and answer.regex is not None:
        yield key, "has name and regex; expected only one of them"
    if answer.name is None and answer.regex is None and not answer.below:
        yield (
            key,
            'does not say which names it is for; expected name, regex or below; for every name write below = ["."]',
        )
    if bool(answer.records) == (answer.rcode is not None):
        found = "has records and rcode" if answer.records else "has neither records nor rcode"
        yield key, f"{found}; expected one of the two"
    yield from _domain_mistakes(f"{key}.below", answer.below)
    yield from _domain_mistakes(f"{key}.except", answer.except_)
    yield from _name_mistakes(f"{key}.name", answer.name)
    condition = _answer_condition(answer)
    if _lies_nowhere(condition):
        yield f"{key}.below", "name is in none of these domains: the rule matches no name"
    try:
        answers.FixedAnswers((_answer(answer),))
    except answers.RecordError as error:
        yield f"{key}.records[{error.number}]", str(error)
    except RuleError as error:
        yield f"{key}.regex", str(error)


def _domain_mistakes(key: str, domains: tuple[Domain, ...]) -> Iterator[Mistake]:
    for index, domain in enumerate(domains):
        problem = misspelled(domain)
        if problem is not None:
            yield f"{key}[{index}]", problem


def _name_mistakes(key: str, name: Domain | None) -> Iterator[Mistake]:
    """Yield why nobody asks for a name. An address counts as a name: programs do ask for it."""
    problem = misspelled(name) if name is not None and ("*" in str(name) or not name.wire.isascii()) else None
    if problem is not None:
        yield key, problem


def _see_to_names(text: str, gaps: AbstractSet[str]) -> None:
    """Raise RuleError for a text that makes no valid name, whatever its gaps contain."""
    made = GapText(text, gaps)
    problems = []
    for sample in _IN_GAPS:
        try:
            _domain(made.filled(dict.fromkeys(gaps, sample)))
        except RuleError as error:
            problems.append(error)
    if len(problems) == len(_IN_GAPS):
        raise problems[0]


def _lies_nowhere(condition: Condition) -> bool:
    """Tell whether none of a rule's names is in its `below`."""
    domains = condition.below
    if condition.name is not None:
        return bool(domains) and not any(is_below(condition.name, domain) for domain in domains)
    suffix = condition.suffix
    if suffix is None:
        return False
    return bool(domains) and not any(is_below(suffix, domain) or is_below(domain, suffix) for domain in domains)


def _wires(domains: tuple[Domain, ...]) -> tuple[bytes, ...]:
    return tuple(domain.wire for domain in domains)


def _rewrite_condition(rule: Rewrite) -> Condition:
    """Return which names are rewritten; raises RuleError."""
    suffix = None if rule.suffix is None else _domain(_below_dot(rule.suffix))
    return Condition(
        name=None if rule.name is None else rule.name.wire,
        prefix=None if rule.prefix is None else read_prefix(rule.prefix),
        suffix=suffix,
        inside=rule.suffix is not None and rule.suffix.startswith(".") and rule.suffix != ".",
        regex=rule.regex,
        below=_wires(rule.below),
        excepted=_wires(rule.except_),
    )


def _rewrite(rule: Rewrite) -> rewrites.Rewrite:
    """Return a rule; raises RuleError if its `to` is not valid."""
    condition = _rewrite_condition(rule)
    if condition.prefix is not None:
        return rewrites.Rewrite(condition, read_prefix(rule.to), deep=rule.answers == "names")
    if condition.regex is not None:
        return rewrites.Rewrite(condition, rule.to, deep=rule.answers == "names")
    text = _below_dot(rule.to) if condition.suffix is not None else rule.to
    return rewrites.Rewrite(condition, _domain(text), deep=rule.answers == "names")


def _answer_condition(rule: AnswerRule) -> Condition:
    return Condition(
        name=None if rule.name is None else rule.name.wire,
        regex=rule.regex,
        below=_wires(rule.below),
        excepted=_wires(rule.except_),
        types=frozenset(rtype.number for rtype in rule.types),
    )


def _answer(rule: AnswerRule) -> answers.FixedAnswer:
    return answers.FixedAnswer(_answer_condition(rule), rule.records, rule.rcode)


def _below_dot(text: str) -> str:
    """Return a suffix without a dot at its beginning; the root is one dot."""
    return text if text == "." else text.removeprefix(".")


def _domain(text: str) -> bytes:
    """Return a domain on the wire; raises RuleError."""
    try:
        domain = Domain.parse(text)
    except ValueError:
        raise RuleError(f'found "{text[:60]}", expected {Domain.EXPECTED}') from None
    problem = misspelled(domain) if labels(domain.wire) else None
    if problem is not None:
        raise RuleError(problem)
    return domain.wire
