"""Label selectors, as kubectl and the API take them (k8s.io/apimachinery, labels.Parse)."""

import re

EXPECTED = 'a label selector as kubectl takes it, as in "app=web,tier!=test" or "env in (dev, test),!legacy"'

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_PREFIX = rf"{_LABEL}(?:\.{_LABEL})*"
_KEY = rf"(?:(?=[^/]{{1,253}}/){_PREFIX}/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_REQUIREMENT = re.compile(
    rf"""\s*+(?:
        !\s*{_KEY}
        |{_KEY}(?:
            \s*(?:=|==|!=)\s*{_VALUE}
            |\s*[<>]\s*[0-9]{{1,18}}
            |\s+(?:in|notin)\s*(?!\(\s*\))\(\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*\)
        )?
    )\s*+(?P<comma>,|\Z)""",
    re.VERBOSE | re.ASCII,
)


def is_selector(text: str) -> bool:
    """Tell whether a text is a label selector; the empty one selects everything."""
    if not text.strip():
        return True
    position = 0
    while found := _REQUIREMENT.match(text, position):
        if not found["comma"]:
            return True
        position = found.end()
    return False
