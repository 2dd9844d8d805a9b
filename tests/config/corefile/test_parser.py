"""Server blocks of a Corefile: keys, directives, and what is put in the places of imports and variables."""

from collections.abc import Mapping

import pytest

from dnsserver.config.corefile.parser import CorefileError, Directive, ImportedFile, Line, Parsed, parse


def parsed(text: str, files: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None) -> Parsed:
    known = files or {}

    def read(_: str, pattern: str) -> list[ImportedFile]:
        if pattern == "denied":
            raise ValueError("permission denied")
        return [ImportedFile(name, known[name]) for name in known if pattern in {name, "*"}]

    return parse(text, "Corefile", read, environment or {})


def shape(result: Parsed) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Return the keys of each block, and its directives without their blocks."""
    return [(block.keys, [(d.name, *d.args) for d in block.directives]) for block in result.blocks]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (". {\n}", [((".",), [])]),
        (".:53 {\n errors\n cache 30\n}", [((".:53",), [("errors",), ("cache", "30")])]),
        ("a.example, b.example {\n log\n}", [(("a.example", "b.example"), [("log",)])]),
        ("a.example,\nb.example {\n log\n}", [(("a.example", "b.example"), [("log",)])]),
        ("a.example:53 b.example:53 {\n}", [(("a.example:53", "b.example:53"), [])]),
        (".:53\nerrors\nlog", [((".:53",), [("errors",), ("log",)])]),
        ("a {\n}\nb {\n}", [(("a",), []), (("b",), [])]),
        (". { errors }", [((".",), [("errors",)])]),
        ('. {\n template "a b" c\n}', [((".",), [("template", "a b", "c")])]),
        ("10.0.0.0/8 {\n}", [(("10.0.0.0/8",), [])]),
    ],
)
def test_blocks(text: str, expected: list[tuple[tuple[str, ...], list[tuple[str, ...]]]]) -> None:
    assert shape(parsed(text)) == expected


def test_lines_and_blocks_of_a_directive() -> None:
    (block,) = parsed(". {\n hosts f {\n  1.2.3.4 a b\n  ttl 60\n }\n rewrite stop {\n  name exact a b\n }\n}").blocks
    assert block.directives == (
        Directive(
            "hosts", ("f",), (Line(("1.2.3.4", "a", "b"), "Corefile", 3), Line(("ttl", "60"), "Corefile", 4)),
            "Corefile", 2,
        ),
        Directive("rewrite", ("stop",), (Line(("name", "exact", "a", "b"), "Corefile", 7),), "Corefile", 6),
    )  # fmt: skip


def test_blocks_within_blocks() -> None:
    (block,) = parsed(". {\n a {\n  b c {\n   d\n  }\n }\n}").blocks
    (directive,) = block.directives
    assert directive.lines == (Line(("b", "c"), "Corefile", 3, (Line(("d",), "Corefile", 4),)),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (". {\n errors\n", "Corefile:1: the block is not closed: expected } at its end"),
        (". {\n hosts {\n  ttl 1\n", "Corefile:2: the block of hosts is not closed: expected }"),
        ("a, {\n}", "Corefile:1: expected another address after the comma, found {"),
        ("(a) {\n b\n}\n(a) {\n}", "Corefile:4: the snippet (a) is defined twice"),
        ("(a)\nb", "Corefile:1: the snippet (a) has no block: expected { after it"),
        ("(a) {\n b {\n}", "Corefile:1: the snippet (a) is not closed: expected } at its end"),
        (". {\n import\n}", "Corefile:2: import: expected a file, a pattern or a snippet after it"),
        (
            "(s) {\n cache {args[0]}\n}\n. {\n import s 30\n}",
            "Corefile:5: import: found 30 after s, expected one word; snippets take no arguments",
        ),
        (". {\n {\n }\n}", "Corefile:2: found {, expected the name of a plugin"),
    ],
)
def test_what_coredns_does_not_start_with(text: str, message: str) -> None:
    with pytest.raises(CorefileError) as error:
        parsed(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Outside of blocks, in one, and in the block of a plugin.
        ("import more\n. {\n}", [(("x",), [("log",)]), ((".",), [])]),
        (". {\n}\nimport more", [((".",), []), (("x",), [("log",)])]),
        (". {\n errors\n import lines\n cache\n}", [((".",), [("errors",), ("any",), ("loop",), ("cache",)])]),
        ("(s) {\n errors\n log\n}\n. {\n import s\n}", [((".",), [("errors",), ("log",)])]),
        ("(a) {\n log\n}\n(b) {\n import a\n errors\n}\n. {\n import b\n}", [((".",), [("log",), ("errors",)])]),
    ],
)  # fmt: skip
def test_imports(text: str, expected: list[tuple[tuple[str, ...], list[tuple[str, ...]]]]) -> None:
    result = parsed(text, {"more": "x {\n log\n}", "lines": "any\nloop\n"})
    assert shape(result) == expected
    assert not result.remarks


def test_an_import_in_the_block_of_a_plugin() -> None:
    (block,) = parsed(". {\n hosts {\n  import names\n  fallthrough\n }\n}", {"names": "1.2.3.4 a"}).blocks
    assert [line.words for line in block.directives[0].lines] == [("1.2.3.4", "a"), ("fallthrough",)]
    assert block.directives[0].lines[0].file == "names"


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("gone", "gone: there is no such file or snippet: its content is not imported"),
        ("denied", "denied could not be read (permission denied): its content is not imported"),
    ],
)
def test_imports_that_find_nothing(name: str, remark: str) -> None:
    assert parsed(f". {{\n import {name}\n}}").remarks == (("Corefile", 2, remark, True),)


def test_a_pattern_that_fits_nothing_here_may_fit_something_there() -> None:
    result = parsed(". {\n import /etc/coredns/custom/*.override\n}")
    assert shape(result) == [((".",), [])]
    text = "no file here matches: if there are some where CoreDNS runs, import them as well"
    assert result.remarks == (("Corefile", 2, f"/etc/coredns/custom/*.override: {text}", False),)


@pytest.mark.parametrize(
    ("text", "itself"),
    [
        ("(s) {\n import s\n}\n. {\n import s\n}", "s"),
        ("(s) {\n errors\n import s\n import s\n import s\n log\n}\n. {\n import s\n}", "s"),
        ("(s) {\n import t\n}\n(t) {\n import s\n}\n. {\n import t\n}", "t"),
        (". {\n import me\n}", "me"),
        (". {\n forward . 192.0.2.1 {\n import me\n }\n}", "me"),
        (". {\n import you\n}", "they"),
    ],
)
def test_what_imports_itself_is_refused(text: str, itself: str) -> None:
    with pytest.raises(CorefileError, match=rf"import: {itself} imports itself"):
        parsed(text, {"me": "import me", "you": "import they", "they": "import you"})


@pytest.mark.parametrize(
    ("text", "plugins"),
    [
        ("(s) {\n errors\n}\n. {\n import s\n import s\n}", ["errors", "errors"]),
        ("(t) {\n errors\n}\n(s) {\n import t\n import t\n}\n. {\n import s\n import t\n}", ["errors"] * 3),
    ],
)
def test_what_is_imported_again_but_not_by_itself_is_taken(text: str, plugins: list[str]) -> None:
    assert [directive.name for block in parsed(text).blocks for directive in block.directives] == plugins


NESTED = ["ba", "bba", "bbba", "bbbba"]  # each imports the one before it ten times


def test_what_imports_more_each_time_ends() -> None:
    imports = [f"({name}) {{\n" + f" import {name[1:]}\n" * 10 + "}\n" for name in NESTED]
    text = "(a) {\n log\n}\n" + "".join(imports)
    with pytest.raises(CorefileError, match="more than 10000 imports; does a file import itself"):
        parsed(f"{text}. {{\n import {NESTED[-1]}\n}}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{$ZONE}:53 {\n forward . {$TO} {%TO%}\n}",
            [(("a.example:53",), [("forward", ".", "192.0.2.1", "192.0.2.1")])],
        ),
        ('. {\n log "{$ZONE}-x"\n}', [((".",), [("log", "a.example-x")])]),
        (". {\n log {remote} {>id} {$}\n}", [((".",), [("log", "{remote}", "{>id}", "{$}")])]),
    ],
)
def test_environment(text: str, expected: list[tuple[tuple[str, ...], list[tuple[str, ...]]]]) -> None:
    result = parsed(text, environment={"ZONE": "a.example", "TO": "192.0.2.1"})
    assert shape(result) == expected
    assert not result.remarks


def test_variables_that_are_not_set() -> None:
    result = parsed(". {\n bind {$HOST_IP}\n}")
    assert shape(result) == [((".",), [("bind", "")])]
    (remark,) = result.remarks
    text = "{$HOST_IP} is not set where you run the import, so it is empty here"
    assert remark == ("Corefile", 2, text, True)
