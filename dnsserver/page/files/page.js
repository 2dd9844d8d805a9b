// Which view is shown, what is asked for it, and what is said while the server does not answer.

const STATUS_EVERY = 2000; // ms
const LISTS_EVERY = 4000;
const ZONE_EVERY = 5000;

const TITLES = { "": "dnsserver", explain: "Explain – dnsserver", zone: "Services – dnsserver", client: "Client – dnsserver", config: "Configuration – dnsserver" };
const VIEWS = { "": "overview", explain: "explain", zone: "zone", client: "client", config: "config" };

/** Return the view that the address asks for, its path, and its fields. */
function wantedView() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, ...rest] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { name: name in VIEWS ? name : "", path: rest, fields: new URLSearchParams(query ?? "") };
}

let view = wantedView();
let silentSince = null; // ms, since when nothing was heard
let lastStatus = null;

function heard() {
  silentSince = null;
  say(byId("contact"), "");
  say(byId("contact-since"), "");
}

/** Tell why nothing new is shown. */
function failed(error) {
  if (error instanceof Denied) {
    heard();
    say(byId("sign-in-why"), sentence(error.message));
    byId("sign-in").hidden = false;
    for (const name of Object.values(VIEWS)) byId(`view-${name}`).hidden = true;
    say(byId("verdict"), "closed");
    byId("verdict").className = "badge bad";
  } else if (error instanceof Refused) {
    heard();
    say(byId("contact"), sentence(error.message));
  } else if (error instanceof Lost) {
    silentSince ??= Date.now() - (error.waited ?? 0);
    sayLost();
  } else {
    reportError(error);
  }
}

function sayLost() {
  if (silentSince === null) return;
  say(byId("verdict"), "no contact");
  byId("verdict").className = "badge bad";
  say(byId("contact"), "lost contact");
  say(byId("state-text"), "Not known: the server does not answer.");
  say(byId("contact-since"), `since ${duration((Date.now() - silentSince) / 1000)}; what is shown is from before`);
}

function welcome() {
  byId("sign-in").hidden = true;
  for (const [name, id] of Object.entries(VIEWS)) byId(`view-${id}`).hidden = name !== view.name;
}

const statusPoll = new Poll(STATUS_EVERY, async (signal) => {
  lastStatus = await ask("/status", {}, signal);
  heard();
  welcome();
  showStatus(lastStatus);
}, failed, QUIET);

const zonePoll = new Poll(ZONE_EVERY, async (signal) => {
  const { path, fields } = view;
  try {
    await showZone(path, fields, signal);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(byId("zone-said"), sentence(error.message));
    put(byId("zone-list"));
    delete byId("zone-list").dataset.shape;
  }
}, failed);

const listsPoll = new Poll(LISTS_EVERY, async (signal) => {
  await showLists(signal);
  if (lastStatus !== null) showStatus(lastStatus);
}, failed);

const clientPoll = new Poll(LISTS_EVERY, (signal) => showClient(view.path, signal), failed);

const POLLS = { "": [statusPoll, listsPoll], explain: [statusPoll], zone: [statusPoll, zonePoll], client: [statusPoll, clientPoll], config: [statusPoll] };

function run() {
  for (const poll of new Set(Object.values(POLLS).flat())) {
    if (document.hidden || !POLLS[view.name].includes(poll)) poll.stop();
  }
  if (!document.hidden) for (const poll of POLLS[view.name]) poll.start();
}

/** Show the view of the address; `moved` tells that a person went there, so that reading goes on at its heading. */
function go(moved) {
  const before = view;
  view = wantedView();
  document.title = TITLES[view.name];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${view.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (byId("sign-in").hidden) {
    welcome();
    if (lastStatus !== null) showStatus(lastStatus);
  }
  if (view.name === "zone") {
    const filter = byId("zone-filter");
    if (document.activeElement !== filter) filter.value = view.fields.get("filter") ?? "";
    zonePoll.stop();
  }
  if (view.name === "client") clientPoll.stop();
  if (view.name === "config") showConfiguration();
  if (view.name === "explain") showExplain(view.fields);
  if (moved && (before.name !== view.name || before.path.join("/") !== view.path.join("/"))) {
    byId("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  run();
}

async function showConfiguration() {
  try {
    const settings = await ask("/config");
    say(byId("config-said"), "");
    say(byId("config-order"), `Who is asked for a name, the first that has an answer gives it: ${settings.order}`);
    say(byId("config-toml"), settings.toml);
  } catch (error) {
    failed(error);
  }
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  sessionStorage.setItem("token", token);
  for (const poll of POLLS[view.name]) poll.stop();
  go(false);
});

byId("explain-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [name, type, from] = ["name", "type", "from"].map((field) => byId(`explain-${field}`).value.trim());
  const wanted = explainAddress(name, type, from);
  explained = "";
  if (location.hash === wanted) go(false);
  else location.hash = wanted;
});

let typing = 0;
byId("zone-filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    history.replaceState(null, "", address(["zone", ...view.path], { filter: byId("zone-filter").value }));
    go(false);
  }, 150);
});
byId("zone-form").addEventListener("submit", (event) => event.preventDefault());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});

for (const id of ["lists-window", "failures-missing"]) {
  byId(id).addEventListener("change", () => {
    listsPoll.stop();
    run();
  });
}

document.addEventListener("visibilitychange", run);
addEventListener("hashchange", () => go(true));
setInterval(sayLost, 1000);
go(false);
