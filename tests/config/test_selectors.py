"""Label selectors: what kubectl takes and what it refuses (checked by hand against labels.Parse of apimachinery)."""

import time

import pytest

from dnsserver.config.selectors import is_selector


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "app", "!app", "! app", "app=web", "app==web", "app!=web", "app = web", "app=", "a=b,c!=d,!e,f",
        "env in (dev,test)", "env in(dev)", "env notin ( dev , test )", "env in (,)", "env in (dev,)", "n>1", "n < 22",
        "kubernetes.io/service-name=web", "a.b-c/D_e.f=1.2_3-4", "app.kubernetes.io/part-of in (x)", "in=out", "A=B",
    ],
)  # fmt: skip
def test_a_selector(text: str) -> None:
    assert is_selector(text)


@pytest.mark.parametrize(
    "text",
    [
        "=", "=web", "a=b=c", "a,,b", ",a", "a,", "a=b,", "a b", "a=b c", "!", "!a=b", "-a", "a-", "a=-b", "a=b-", "a.",
        "env in", "env in ()", "env in dev", "env in (dev", "env in dev)", "env on (dev)", "n>x", "n>", "n>-1", "/a",
        "a/", "a/b/c", "A.b/c", "a=b;c", "a='b'", "ä=b", "a=" + "x" * 64, "x" * 64, "a" * 254 + "/b", "a:b", "{a: b}",
    ],
)  # fmt: skip
def test_what_is_no_selector(text: str) -> None:
    assert not is_selector(text)


@pytest.mark.parametrize("text", ["a." * 100_000 + "!", "a in (" + "b," * 100_000, "!" * 100_000, "a," * 100_000 + "?"])
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    assert not is_selector(text)
    assert time.process_time() - began < 1
