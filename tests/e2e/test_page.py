"""The page in a browser, of a real server that is asked real questions.

Over 400 lines, as all of it shares one browser, one upstream and one server.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import dns.rcode
import pytest

from tests.cluster import Thing, endpoint, endpoints, namespace, service
from tests.e2e.process import FOLDER, Program, Served, served

pytest.importorskip("playwright.sync_api", reason="needs playwright (requirements-dev.lock)")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route

from tests.e2e.browser import CHROMIUM, PATIENCE, Tab, chromium, tab

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("page"),  # they share a browser
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)"),
]

VIEWS = [
    "#/client/127.0.0.1",
    "#/", "#/zone", "#/zone/shop", "#/zone/shop/web", "#/config", "#/explain", "#/explain?name=wep.shop&from=shop"
]  # fmt: skip
HOSTILE = "<img src=x onerror=window.hacked=1>"
HOSTILE_NAME = rb"\060script\062window.hacked=1\060\047script\062.shop.svc.cluster.local".decode()
HOSTILE_SHOWN = r"<script>window.hacked=1</script>.shop.svc.cluster.local."
STALE = (
    "[{code: 0, name: 'Other', text: 'b'}, {code: 3, name: 'Stale Answer', text: 'c'}, {code: 99, name: '', text: ''}]"
)
SECRET = "a-secret-token"
# A name that leads to this machine, as in DNS rebinding, and as for a browser elsewhere: nobody is let in by it.
ELSEWHERE = "dns.test"
LARGE = 10_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def outside() -> Iterator[str]:
    """Run an upstream; gives its address."""
    program = Program("tests.upstream")
    try:
        yield f"127.0.0.1:{program.first_line()}"
    finally:
        program.close()


def configuration(folder: Path, outside: str, things: list[Thing], more: str = "") -> Path:
    (folder / "objects.json").write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": things}))
    (folder / "token").write_text(SECRET)
    config = folder / "c.toml"
    config.write_text(
        f'listen = ["127.0.0.1:0"]\nadmin = "127.0.0.1:0"\nadmin_token = "{folder}/token"\nupstreams = ["{outside}"]\n'
        f'objects = "{folder}/objects.json"\ndrain = 0\n{more}[log]\nformat = "json"\n'
    )
    return config


SHOP = [
    namespace("shop"),
    service("web", "10.96.0.20", ports=[("http", "TCP", 80)]),
    endpoints("web", "10.244.0.1", "10.244.0.2", ports=[("http", "TCP", 80)]),
    service("database", ports=[("postgres", "TCP", 5432)]),
    service(HOSTILE, "10.96.0.66", ports=[(HOSTILE, "TCP", 80)]),
    namespace(HOSTILE),
    service("inside", external=HOSTILE, namespace=HOSTILE),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, outside: str) -> Iterator[Served]:
    """Run a server that was asked: 7 times for what is there, 5 for what is not, 3 times outside, 3 times in vain."""
    with served("--config", str(configuration(tmp_path_factory.mktemp("page"), outside, SHOP))) as running:
        for _ in range(7):
            running.ask("web.shop.svc.cluster.local")
        for number in range(5):
            running.ask(f"nothing-{number}.shop.svc.cluster.local", tcp=bool(number % 2))
        for name in ("www.example.com", "www.example.com", "nobody.example.com"):
            running.ask(name)
        running.ask(HOSTILE_NAME)
        running.ask(".", "AXFR")
        running.ask("database.shop.svc.cluster.local")
        yield running


@pytest.fixture
def shown(browser: Browser, server: Served) -> Iterator[Tab]:
    with tab(browser, f"{server.admin}/") as opened:
        opened.shows("ready", "#verdict")
        yield opened
        assert opened.wrong == []


def test_the_numbers_are_what_was_asked(shown: Tab) -> None:
    shown.shows("18", "#facts")
    assert shown.fact("Answers") == "18"
    assert shown.fact("From the cache") in {"33.3 %", "38.9 %"}  # six of seven, and one of two if it came late enough
    assert shown.fact("Names that do not exist") == "44.4 %"
    assert shown.fact("Failed") == "1 (5.56 %)"
    assert shown.fact("Objects come from") == "files, there is no API server"
    assert [row[:3] for row in shown.rows("kinds")] == [
        ["namespaces", "2", "from files"], ["services", "4", "from files"], ["endpointslices", "1", "from files"]
    ]  # fmt: skip
    [[name, state, rtt, questions, failures, *_]] = shown.rows("upstreams")
    assert (state, questions, failures) == ("up", "2", "0 (0 %)")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", name)
    assert re.fullmatch(r"[\d.]+ (µs|ms)", rtt)
    assert {row[0]: row[1] for row in shown.rows("reasons")} == {
        "found": "7", "service-missing": "6", "forwarded": "3", "transfer-refused": "1", "no-ready-endpoints": "1"
    }  # fmt: skip
    assert {row[0]: row[1] for row in shown.rows("types")} == {
        "A": "17", "AXFR": "1", "NOERROR": "9", "NXDOMAIN": "8", "REFUSED": "1"
    }  # fmt: skip
    [[_, answers, memory, *_, faults]] = shown.rows("processes")
    assert (answers, faults) == ("18", "0")
    assert memory.endswith("MiB")


def test_who_asked_what_and_what_failed(shown: Tab) -> None:
    shown.shows("127.0.0.1", "#top-clients")
    [[client, _, questions, share]] = shown.rows("top-clients")
    assert (client, questions, share) == ("127.0.0.1", "18", "100 %")
    names = {row[0]: row[1] for row in shown.rows("top-names")}
    assert (names["web.shop.svc.cluster.local."], names["www.example.com."]) == ("7", "2")
    missing = {row[0]: row[1:3] for row in shown.rows("top-missing")}
    assert missing[HOSTILE_SHOWN] == ["service-missing", "1"]
    assert shown.fact("Most active client, last 5 min") == "127.0.0.1 (100 %)"
    assert "however long ago" in shown.page.locator("#failures-note").inner_text()
    [broken, [question, result, why, asker, times, _]] = shown.rows("failures")
    assert broken[:2] == ["database.shop.svc.cluster.local. A", "NXDOMAIN"]  # a Service has that name
    assert broken[2].startswith("no-ready-endpoints: ")
    assert (question, result, asker, times) == (". AXFR", "REFUSED", "127.0.0.1", "1")
    assert why.startswith("transfer-refused")
    shown.page.get_by_label("with names that do not exist").check()
    shown.shows("nothing-1.shop.svc.cluster.local. A", "#failures")
    assert len(shown.rows("failures")) == 9
    with shown.page.expect_request("**/top?window=15&**"):
        shown.page.get_by_label("In the last").select_option("15 minutes")


def test_a_client_leads_to_its_names_and_a_name_to_its_clients(shown: Tab) -> None:
    shown.page.locator("#top-clients").get_by_role("link", name="127.0.0.1").click()
    shown.shows("web.shop.svc.cluster.local.", "#client-names")
    assert shown.page.locator("#client-said").inner_text().startswith("127.0.0.1: ")
    names = {row[0]: row[1:3] for row in shown.rows("client-names")}
    assert int(names["web.shop.svc.cluster.local."][1]) >= 7
    assert names[HOSTILE_SHOWN] == ["service-missing", "1"]
    assert ". AXFR" in [row[0] for row in shown.rows("client-failures")]
    shown.page.locator("#client-names").get_by_role("link", name="web.shop.svc.cluster.local.", exact=True).click()
    shown.shows("Who asks for it", "#explain-result")
    shown.page.locator("#explain-result").get_by_role("link", name="127.0.0.1").click()
    shown.shows("web.shop.svc.cluster.local.", "#client-names")
    shown.page.go_back()
    shown.page.go_back()
    shown.page.go_back()
    shown.page.locator("#failures").get_by_role("link", name="127.0.0.1").first.click()
    shown.shows("web.shop.svc.cluster.local.", "#client-names")


def test_it_goes_on_by_itself(shown: Tab, server: Served) -> None:
    before = int(shown.fact("Answers"))
    server.ask("web.shop.svc.cluster.local")
    shown.shows(str(before + 1), "#facts dd")
    shown.page.locator("#chart-rates svg[role=img]").wait_for()
    label = shown.page.locator("#chart-rates svg[role=img]").get_attribute("aria-label")
    assert label is not None
    assert re.match(r"Answers a second, last \d+ \w+\. all: now [\d.]+, at most [\d.]+; do not exist: ", label)
    shown.page.locator("#chart-latency svg[role=img]").wait_for()


def test_nothing_is_asked_while_nobody_looks(shown: Tab) -> None:
    shown.page.wait_for_timeout(2500)
    seen = len(shown.requests)
    assert seen >= 2
    shown.hide(True)
    shown.page.wait_for_timeout(200)
    seen = len(shown.requests)
    shown.page.wait_for_timeout(5000)
    assert len(shown.requests) == seen
    with shown.page.expect_request("**/status", timeout=1000):
        shown.hide(False)


def test_everything_is_asked_of_this_server_only(shown: Tab, server: Served) -> None:
    for view in VIEWS:
        shown.page.goto(f"{server.admin}/{view}")
        shown.page.wait_for_timeout(300)
    assert {url.split("/")[2] for url in shown.requests if not url.startswith("data:")} == {server.admin.split("/")[2]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_accessible_and_fits(
    browser: Browser, server: Served, scheme: Literal["light", "dark"], width: int
) -> None:
    axe = Axe()
    with tab(browser, f"{server.admin}/", scheme=scheme, width=width) as opened:
        opened.page.locator("#chart-rates svg").first.wait_for()
        grounds = set()
        for view in VIEWS:
            opened.page.goto(f"{server.admin}/{view}")
            opened.page.locator(".view:visible h2").first.wait_for()
            opened.page.wait_for_timeout(500)
            found = axe.run(opened.page)
            assert found.violations_count == 0, (view, found.generate_report())
            sizes = opened.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert sizes[0] <= sizes[1], view
            grounds.add(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            opened.keep(f"page-{scheme}-{width}-{view.strip('#/').replace('/', '-') or 'overview'}")
    [ground] = grounds
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (scheme == "dark")


def test_what_clients_and_objects_say_is_text(browser: Browser, server: Served) -> None:
    """Names may be any octets: they are shown, and never become part of the page."""
    with tab(browser, f"{server.admin}/#/zone?filter=IMG") as opened:
        opened.shows(HOSTILE, "#zone-list")
        opened.page.get_by_role("link", name=HOSTILE).first.click()
        opened.shows("inside", "#zone-list")
        opened.page.get_by_role("link", name="inside").click()
        opened.shows(f"stands for {HOSTILE}", "#zone-said")
        opened.page.goto(f"{server.admin}/#/zone/shop")
        opened.shows("Services of shop", "#zone-list")  # until then the path has a link of that name
        opened.page.get_by_role("link", name=HOSTILE).click()
        opened.shows("10.96.0.66", "#zone-said")
        assert opened.page.locator("main img, main script").count() == 0
        assert opened.page.evaluate("window.hacked") is None
        assert opened.wrong == []


def test_the_policy_holds(shown: Tab) -> None:
    """What would be run or loaded if a value became markup is not, and that the browser says so shows that it looks."""
    shown.page.evaluate(
        "() => { const made = document.createElement('img'); made.src = 'http://127.0.0.1:1/x.png';"
        "document.body.append(made); }"
    )
    assert (
        shown.page.evaluate(
            "() => { try { document.body.innerHTML = '<p>x'; return 'taken' } catch (error) { return error.name } }"
        )
        == "TypeError"
    )
    shown.page.wait_for_timeout(300)
    assert any("img-src" in said for said in shown.wrong), shown.wrong
    assert any("TrustedHTML" in said or "trusted" in said.lower() for said in shown.wrong), shown.wrong
    shown.wrong.clear()


def test_a_person_without_a_mouse_finds_a_service(shown: Tab) -> None:
    keyboard = shown.page.keyboard
    keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for _ in range(3):
        keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.textContent") == "Services"
    keyboard.press("Enter")
    shown.shows("2 namespaces", "#zone-said")
    assert shown.page.evaluate("document.activeElement.id") == "main"
    while shown.page.evaluate("document.activeElement.id") != "zone-filter":
        keyboard.press("Tab")
    keyboard.type("web")
    shown.shows("1 service with “web”", "#zone-said")
    assert shown.page.evaluate("document.activeElement.id") == "zone-filter"
    while shown.page.evaluate("document.activeElement.textContent") != "web":
        keyboard.press("Tab")
    outline = shown.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    shown.page.wait_for_timeout(5500)  # a new list does not take the focus away
    keyboard.press("Enter")
    shown.shows("10.96.0.20", "#zone-said")
    assert shown.rows("zone-list")[0][:3] == ["web.shop.svc.cluster.local.", "A", "10.96.0.20"]


def test_a_person_without_a_mouse_has_a_name_explained(shown: Tab) -> None:
    keyboard = shown.page.keyboard
    for _ in range(3):
        keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.textContent") == "Explain"
    keyboard.press("Enter")
    while shown.page.evaluate("document.activeElement.id") != "explain-name":
        keyboard.press("Tab")
    keyboard.type("wep.shop")
    keyboard.press("Tab")
    keyboard.type("A")
    keyboard.press("Tab")
    keyboard.type("shop")
    keyboard.press("Enter")
    shown.shows("wep.shop does not resolve: wep.shop.svc.cluster.local. A: there is no such Service", "#explain-said")
    questions = {row[0]: row[1:] for row in shown.rows("explain-result")}
    result, why, source = questions["wep.shop.svc.cluster.local. A"]
    assert result == "NXDOMAIN"
    assert why.startswith("service-missing: ")
    assert "kubectl get services" in why  # what to do
    assert "shop/wep" in source
    while shown.page.evaluate("document.activeElement.textContent") != "web.shop.svc.cluster.local":
        keyboard.press("Tab")  # the nearest name
    keyboard.press("Enter")
    shown.shows("resolves", "#explain-said.good")
    assert "10.96.0.20" in shown.page.locator("#explain-said").inner_text()


@pytest.mark.parametrize(
    ("shown_by", "text"),
    [
        (
            "outcome({records: [{type: 'CNAME', data: 'a.'}], errors: [], reason: 'b', text: 'c', advice: 'Do.'})",
            "CNAME a.; b: c. Do.",
        ),
        (
            "outcome({records: [], errors: [], reason: 'servfail', text: 'of mail.example.', advice: ''})",
            "servfail: of mail.example.",
        ),
        ("outcome({records: [], errors: [], reason: 'servfail', meaning: 'b', advice: ''})", "servfail: b."),
        (
            f"outcome({{found: true, records: [{{type: 'A', data: '10.0.0.1'}}], text: '', errors: {STALE}}})",
            "A 10.0.0.1; EDE 0 (Other): b; EDE 3 (Stale Answer): c; EDE 99 (not known here)",
        ),
        (
            f"outcome({{records: [], reason: 'a', text: 'b', advice: 'Do.', errors: {STALE}}})",
            "a: b. EDE 3 (Stale Answer): c. EDE 99 (not known here). Do.",
        ),
        ("sentence('name: a\\ntype: b\\n')", "Name: a; type: b."),
        ("sentence('the name is b.')", "The name is b."),
    ],
)
def test_sentences_end_with_one_dot(shown: Tab, shown_by: str, text: str) -> None:
    files = (FOLDER / "dnsserver/page/files" / name for name in ("overview.js", "explain.js"))
    parts = "\n".join(file.read_text("utf-8") for file in files)
    assert shown.page.evaluate(f"(() => {{ {parts}\n return {shown_by}; }})()") == text


@pytest.mark.parametrize(
    ("state", "note"),
    [
        ({"stale": True}, "marked as stale: nothing has come from the API server for too long."),
        ({"stale": True, "snapshot": True, "saved": 7200}, "up to date 2 h 0 min ago, and are marked as stale."),
    ],
)
def test_why_answers_are_marked_as_stale_is_told_once(shown: Tab, state: dict[str, object], note: str) -> None:
    def changed(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | state)

    shown.page.route("**/status", changed)
    shown.shows(note, "#state-notes li")
    assert shown.page.locator("#state-notes li").filter(has_text="Answers about the cluster").count() == 1
    shown.page.unroute_all(behavior="wait")


def test_a_duration_has_no_sixty_minutes(shown: Tab) -> None:
    script = (FOLDER / "dnsserver/page/files/format.js").read_text("utf-8")
    durations = [0.04, 59.6, 89.4, 90, 5399, 5400, 7170, 10_799, 172_799, 176_400]
    assert shown.page.evaluate(f"(all) => {{ {script}\n return all.map(duration); }}", durations) == [
        "0 s", "60 s", "89 s", "2 min", "90 min", "1 h 30 min", "2 h 0 min", "3 h 0 min", "2 d 0 h", "2 d 1 h"
    ]  # fmt: skip


def test_rows_with_one_key_stay_as_many_as_they_are(shown: Tab) -> None:
    script = (FOLDER / "dnsserver/page/files/dom.js").read_text("utf-8")
    rows = [{"key": key, "cells": [key, number]} for number, key in enumerate("abacab")]
    found = shown.page.evaluate(
        f"""(rows) => {{ {script}
        const place = document.createElement("div");
        const show = (some) => {{
          showTable(place, "Rows", [{{title: "Key"}}, {{title: "Number"}}], some, "none");
          return [...place.querySelectorAll("tbody tr")].map((row) => row.textContent);
        }};
        return [show(rows), show(rows), show(rows), show(rows.slice(2)), show(rows)];
        }}""",
        rows,
    )
    texts = [f"{key}{number}" for number, key in enumerate("abacab")]
    assert found == [texts, texts, texts, texts[2:], texts]


def test_both_mistakes_of_a_question_are_told(shown: Tab) -> None:
    shown.page.get_by_role("link", name="Explain").click()
    shown.page.get_by_label("Name", exact=True).fill("a..b")
    shown.page.get_by_label("Type", exact=True).fill("no-type")
    shown.page.get_by_role("button", name="Explain").click()
    shown.page.locator("#explain-said:has-text('no-type')").wait_for()
    assert "has 0 octets" in shown.page.locator("#explain-said").inner_text()
    shown.wrong[:] = [said for said in shown.wrong if "400" not in said]  # which the browser's console tells


def test_a_service_says_its_names_and_all_endpoints_with_their_state(
    browser: Browser, outside: str, tmp_path: Path
) -> None:
    ports = [("http", "TCP", 80)]
    things = [namespace("shop"), service("web", "10.96.0.20", ports=ports)]
    sick = {**endpoint("10.244.0.2", ready=False), "nodeName": "a", "targetRef": {"kind": "Pod", "name": "web-1"}}
    things.append(endpoints("web", "10.244.0.1", sick, ports=ports))
    config = configuration(tmp_path, outside, things)
    with served("--config", str(config)) as running, tab(browser, f"{running.admin}/#zone/shop/web") as opened:
        opened.shows("not ready", "#zone-list")
        rows = [row[:4] for row in opened.rows("zone-list")]
        assert ["10.244.0.2", "not ready", "shop/web-1", "a"] in rows
        assert "10.244.0.1" in [row[0] for row in rows if row[1] == "ready"]
        records = {(row[0], row[1]) for row in opened.rows("zone-list")}
        assert ("10-244-0-1.web.shop.svc.cluster.local.", "A") in records
        assert ("web.shop.svc.cluster.local.", "SRV") in records


def test_what_changed_leads_to_the_service(browser: Browser, outside: str, tmp_path: Path) -> None:
    config = configuration(tmp_path, outside, SHOP)
    with served("--config", str(config)) as running, tab(browser, f"{running.admin}/") as opened:
        opened.shows("Nothing changed in the last ", "#changes")
        configuration(tmp_path, outside, [SHOP[0], *SHOP[3:]])  # without web and its endpoints
        opened.shows("shop/web", "#changes")
        opened.shows("deleted: it was ClusterIP 10.96.0.20", "#changes .bad")
        configuration(tmp_path, outside, SHOP)
        opened.shows("deleted and created again", "#changes")
        opened.page.locator("#changes").get_by_role("link", name="shop/web").click()
        opened.shows("10.244.0.2", "#zone-list")
        assert opened.wrong == []


def test_what_a_list_names_is_explained_by_a_click(shown: Tab) -> None:
    shown.page.locator("#top-missing").get_by_role("link", name=HOSTILE_SHOWN).click()
    shown.shows("does not resolve", "#explain-said.bad")
    assert shown.page.get_by_label("Name", exact=True).input_value() == HOSTILE_SHOWN
    shown.page.get_by_label("Type", exact=True).fill("no-type")
    shown.page.get_by_role("button", name="Explain").click()
    shown.page.locator("#explain-said:has-text('no-type')").wait_for()
    assert shown.page.evaluate("window.hacked") is None
    shown.wrong[:] = [said for said in shown.wrong if "400" not in said]  # which the browser's console tells


def test_a_browser_elsewhere_needs_the_token(browser: Browser, server: Served) -> None:
    url = server.admin.replace("127.0.0.1", ELSEWHERE)
    with tab(browser, f"{url}/") as opened:
        opened.shows("use localhost or the address", "#sign-in")
        assert opened.page.locator(".view:visible").count() == 0
        opened.page.get_by_label("Token").fill("wrong")
        opened.page.get_by_role("button", name="Sign in").click()
        opened.page.wait_for_timeout(500)
        assert opened.page.locator("#sign-in").is_visible()
        opened.page.get_by_label("Token").fill(SECRET)
        opened.page.keyboard.press("Enter")
        opened.shows("ready", "#verdict")
        opened.page.reload()
        opened.shows("ready", "#verdict")
        assert SECRET not in opened.page.content()
        assert opened.page.evaluate("localStorage.length + document.cookie.length") == 0


def test_it_tells_that_the_server_is_gone_and_goes_on_when_it_is_back(
    browser: Browser, outside: str, tmp_path: Path
) -> None:
    config = configuration(tmp_path, outside, SHOP)
    with served("--config", str(config)) as first:
        port = first.admin.rpartition(":")[2]
        with tab(browser, f"{first.admin}/") as opened:
            opened.shows("ready", "#verdict")
            first.close()
            opened.shows("lost contact since", "#contact-line")
            assert opened.page.locator("#verdict").inner_text() == "no contact"
            seen = len(opened.requests)
            eight_seconds = re.compile(r"lost contact since ([89]|[1-9]\d) s")
            opened.page.locator("#contact-line").filter(has_text=eight_seconds).wait_for()
            assert opened.page.locator("#contact").inner_text() == "lost contact"  # what is read out, once
            assert 1 <= len(opened.requests) - seen <= 7  # of three paths, each time after twice as long
            with served("--config", str(config), "--admin", f"127.0.0.1:{port}"):
                opened.page.locator("#contact:empty").wait_for(state="attached", timeout=2 * PATIENCE)
                opened.shows("ready", "#verdict")


def test_an_upstream_that_is_sick_is_told_first(browser: Browser, tmp_path: Path) -> None:
    config = configuration(tmp_path, "127.0.0.1:1", SHOP)  # where nobody listens
    with served("--config", str(config)) as running, tab(browser, f"{running.admin}/") as opened:
        assert running.ask("www.example.com").rcode() == dns.rcode.SERVFAIL
        opened.shows("1 upstream of 1 not up: 127.0.0.1:1", "#state-notes")
        opened.shows("Upstream 127.0.0.1:1 had failures in the last 5 minutes: ", "#state-notes")
        [[name, state, *_, lately]] = opened.rows("upstreams")
        assert (name, state) == ("127.0.0.1:1", "down")
        assert re.search(r"[a-z]+ \d", lately)
        opened.shows("www.example.com. A", "#failures")
        [[_, result, why, *_]] = opened.rows("failures")
        assert result == "SERVFAIL"
        assert "127.0.0.1:1" in why
        assert opened.wrong == []


def test_all_processes_are_shown_and_count_together(browser: Browser, outside: str, tmp_path: Path) -> None:
    config = configuration(tmp_path, outside, SHOP, "workers = 2\n")
    with served("--config", str(config)) as running, tab(browser, f"{running.admin}/") as opened:
        opened.shows("worker 1", "#processes")
        for _ in range(40):
            running.ask("web.shop.svc.cluster.local")
        opened.shows("40", "#facts dd")
        assert opened.fact("Answers") == "40"
        answers = {row[0]: int(row[1]) for row in opened.rows("processes")}
        assert answers.keys() == {"first", "worker 1"}
        assert sum(answers.values()) == 40
        assert min(answers.values()) > 0
        assert opened.wrong == []


def test_ten_thousand_services(browser: Browser, outside: str, tmp_path: Path) -> None:
    things: list[Thing] = []
    for number in range(LARGE // 10):
        space = f"team-{number}"
        things.append(namespace(space))
        things += [
            service(f"web-{one}", f"10.{number >> 8}.{number & 255}.{one}", namespace=space) for one in range(10)
        ]
    config = configuration(tmp_path, outside, things)
    with served("--config", str(config)) as running, tab(browser, f"{running.admin}/#/zone") as opened:
        opened.shows("1,000 namespaces", "#zone-said")
        opened.page.locator("#zone-filter").fill("web-7")
        opened.shows("1,000 services with “web-7”", "#zone-said")
        opened.page.goto(f"{running.admin}/#/zone")
        opened.page.get_by_role("link", name="Next").click()
        opened.shows("51 to 100 of 1,000", "#zone-pages")
        assert len(opened.rows("zone-list")) == 50
        assert opened.wrong == []


def test_the_configuration_in_force_without_its_secrets(shown: Tab, server: Served) -> None:
    shown.page.get_by_role("link", name="Configuration").click()
    shown.shows("admin_token", "#config-toml")
    text = shown.page.locator("#config-toml").inner_text()
    assert 'listen = ["127.0.0.1:0"]' in text
    assert SECRET not in text
