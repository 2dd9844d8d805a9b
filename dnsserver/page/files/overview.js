// The first view: is it well, how old is what it knows, and how fast does it answer?

function showStatus(status) {
  say(byId("version"), status.version);
  const verdict = byId("verdict");
  say(verdict, status.draining ? "draining" : status.ready ? "ready" : "not ready");
  verdict.className = `badge ${status.ready && !status.draining ? "good" : "bad"}`;
  say(byId("state-text"), sentence(status.verdict));
  showNotes(status);
  const heard = status.kinds.map((kind) => kind.heard ?? kind.checked).filter((age) => age !== null);
  const changed = status.kinds.map((kind) => kind.changed).filter((age) => age !== null);
  const last = status.history.answers.length - 1;
  showFacts(byId("facts"), [
    ["Up for", status.age === null ? "–" : duration(status.age)],
    heard.length ? ["Last word from the API server", ago(Math.max(...heard)), status.stale ? "bad" : ""] : objectsFrom(status),
    ["Last change of the data", changed.length ? ago(Math.min(...changed)) : "never"],
    ["Answers", count(status.answers)],
    ["From the cache", percent(status.cached, status.answers)],
    ["Names that do not exist", percent(status.missing, status.answers)],
    ["Failed", `${count(status.failed)} (${percent(status.failed, status.answers)})`, status.failed ? "warn" : ""],
    ["Answers a second", last < 0 ? "–" : rate(status.history.answers[last])],
    [`Most active client, last ${lately.minutes} min`, lately.most],
    ["Wait for upstreams now", count(status.in_flight)],
    ["TCP connections", count(status.connections)],
    ["Packets dropped", count(status.drops), status.drops ? "warn" : ""],
    ["Held back by limits", count(status.limited), status.limited ? "warn" : ""],
  ]);
  showHistory(status.history);
  showKinds(status);
  showUpstreams(status.upstreams);
  showCaches(status);
  showProcesses(status);
  showCounts(status);
}

/** Where the objects come from, of a server that has not heard of an API server. */
function objectsFrom(status) {
  const files = status.kinds.every((kind) => kind.state === "");
  return files ? ["Objects come from", "files, there is no API server"] : ["Last word from the API server", "never", "bad"];
}

const sentence = (text) => ended(`${text.charAt(0).toUpperCase()}${text.slice(1)}`.trim().replaceAll("\n", "; "));

/** Add the dot that ends a sentence, if none is there: names end with one. */
const ended = (text) => (text.endsWith(".") ? text : `${text}.`);

/** Say what is not as it should be. */
function showNotes(status) {
  const notes = [];
  if (status.snapshot) notes.push(`Answers about the cluster come from the snapshot, up to date ${ago(status.saved)}, and are marked as stale.`);
  else if (status.stale) notes.push("Answers about the cluster are marked as stale: nothing has come from the API server for too long.");
  if (status.save_problem) notes.push(`The snapshot of the zone cannot be saved: ${status.save_problem}`);
  for (const kind of status.kinds) {
    if (kind.last_error) notes.push(`${kind.kind}: ${kind.last_error}`);
    if (kind.rule) notes.push(`${kind.kind}: the API server denies access; add this rule to the ClusterRole: {${kind.rule}}`);
  }
  const sick = status.upstreams.filter((one) => one.state !== "up");
  const erring = status.upstreams.filter((one) => one.state === "up" && stateOf(one).tone === "bad");
  if (erring.length) notes.push(`Most answers of ${erring.length} of ${status.upstreams.length} upstreams are errors: ${erring.map((one) => one.name).join(", ")}`);
  const slow = status.upstreams.filter((one) => one.rtt >= SLOW);
  if (slow.length) notes.push(`Slow, with a round trip of ${latency(SLOW)} or more: ${slow.map((one) => `${one.name} (${latency(one.rtt)})`).join(", ")}`);
  if (sick.length) notes.push(`${many(sick.length, "upstream")} of ${status.upstreams.length} not up: ${sick.map((one) => one.name).join(", ")}`);
  for (const name of new Set(status.upstreams.map((one) => one.name))) {
    if (troubles(name)) notes.push(`Upstream ${name} had failures in the last ${many(lately.minutes, "minute")}: ${troubles(name)}`);
  }
  const problems = status.configuration?.problems ?? [];
  for (const problem of problems) notes.push(`The configuration files have a mistake, so the earlier configuration stays in force: ${problem}`);
  for (const problem of status.object_problems) notes.push(`Left out of the object files: ${problem}`);
  const restart = status.configuration?.needs_restart ?? [];
  if (restart.length) notes.push(`Changed in the files, and in force only after a restart: ${restart.join(", ")}`);
  if (status.restarts) notes.push(`${many(status.restarts, "worker")} had to be replaced since the start.`);
  const list = byId("state-notes");
  if (list.dataset.shown === JSON.stringify(notes)) return;
  list.dataset.shown = JSON.stringify(notes);
  put(list, ...notes.map((note) => element("li", { class: "warn" }, note)));
}

function showHistory(history) {
  showChart(byId("chart-rates"), "Answers a second", history.age, [
    { name: "all", values: history.answers, style: "one" },
    { name: "do not exist", values: history.missing, style: "two" },
    { name: "failed", values: history.failed, style: "three" },
  ], { scale: "linear", show: (value) => (value === null ? "–" : rate(value)) });
  showChart(byId("chart-latency"), "Time to answer", history.age, [
    { name: "half within", values: history.p50, style: "one" },
    { name: "95 % within", values: history.p95, style: "two" },
    { name: "99 % within", values: history.p99, style: "three" },
  ], { scale: "log", show: latency });
}

const STATES = {
  "": "from files", starting: "connecting", listing: "being read", watching: "watched", waiting: "waiting to try again",
  forbidden: "denied (403)", missing: "not known to the API server (404)",
};

function showKinds(status) {
  const rows = status.kinds.map((kind) => {
    const well = kind.synced && (kind.state === "watching" || kind.state === "");
    const state = kind.from_snapshot ? "from the snapshot" : STATES[kind.state] ?? kind.state;
    return {
      key: kind.kind,
      cells: [
        kind.kind, count(kind.objects), { text: kind.synced || kind.from_snapshot ? state : `not read yet, ${state}`, tone: well ? "good" : "bad" },
        ago(kind.changed), kind.heard === null && kind.state === "" ? "–" : ago(kind.heard), count(kind.bad),
      ],
    };
  });
  showTable(byId("kinds"), "Kinds of objects", [
    { title: "Kind" }, { title: "Objects", number: true }, { title: "State" }, { title: "Last change" },
    { title: "Last word", extra: true }, { title: "Unreadable", number: true, extra: true },
  ], rows, "No kind of object is read.");
}

const SLOW = 0.1; // s, from which on a round trip is called slow

/** How an upstream is: one that answers most questions of the last minutes with an error is not well, though it is up. */
function stateOf(one) {
  const recent = lately.upstreams.get(one.name);
  const errors = Object.entries(recent?.causes ?? {}).filter(([cause]) => /^[A-Z]/.test(cause));
  const wrong = errors.reduce((sum, [, number]) => sum + number, 0);
  if (one.state !== "up" || !recent?.queries || 2 * wrong < recent.queries) return { text: one.state, tone: one.state === "up" ? "good" : "bad" };
  return { text: `up, answers ${errors.sort(([, most], [, least]) => least - most)[0][0]}`, tone: "bad" };
}

function showUpstreams(upstreams) {
  const several = new Set(upstreams.map((one) => one.domain)).size > 1;
  const rows = upstreams.map((one) => ({
    key: `${one.name} ${one.domain}`,
    cells: [
      several ? `${one.name} for ${one.domain}` : one.name, stateOf(one),
      one.rtt === null ? "–" : { text: latency(one.rtt) + (one.rtt >= SLOW ? ", slow" : ""), tone: one.rtt >= SLOW ? "warn" : "" }, count(one.queries),
      { text: count(one.errors + one.unanswered) + (one.queries ? ` (${percent(one.errors + one.unanswered, one.queries)})` : ""), tone: one.errors + one.unanswered ? "warn" : "" },
      count(one.errors), count(one.unanswered), `${count(one.probes_unanswered)} of ${count(one.probes)}`,
      { text: troubles(one.name) || "–", tone: troubles(one.name) ? "warn" : "" },
    ],
  }));
  showTable(byId("upstreams"), "Upstreams", [
    { title: "Upstream" }, { title: "State" }, { title: "Round trip", number: true }, { title: "Questions", number: true, extra: true },
    { title: "Failed", number: true }, { title: "Of these: error", number: true, extra: true }, { title: "No reply", number: true, extra: true },
    { title: "Probes without reply", number: true, extra: true }, { title: "Failed lately", extra: true, long: true },
  ], rows, "There is no upstream: outside names are refused.");
}

function showCaches(status) {
  const rows = [["Finished replies", status.replies], ["Answers from outside", status.outside]].map(([name, cache]) => ({
    key: name,
    cells: [name, count(cache.entries), count(cache.missing), `${octets(cache.size)} of ${octets(cache.limit)}`, count(cache.hits), count(cache.evicted), count(cache.stale)],
  }));
  showTable(byId("caches"), "Caches", [
    { title: "Cache" }, { title: "Entries", number: true }, { title: "Negative", number: true, extra: true }, { title: "Octets", number: true },
    { title: "Hits", number: true }, { title: "Evicted", number: true, extra: true }, { title: "Stale", number: true, extra: true },
  ], rows, "");
}

function showProcesses(status) {
  const rows = status.processes.map((one) => ({
    key: one.number ?? "ended",
    cells: [
      one.number === null ? "ended ones" : one.number ? `worker ${one.number}` : "first", count(one.answers), octets(one.memory),
      one.age && one.cpu !== null ? percent(one.cpu, one.age) : "–", latency(one.lag), { text: count(one.faults), tone: one.faults ? "warn" : "" },
    ],
  }));
  showTable(byId("processes"), "Processes", [
    { title: "Process" }, { title: "Answers", number: true }, { title: "Memory", number: true }, { title: "Processor since its start", number: true, extra: true },
    { title: "Mean lag", number: true, extra: true }, { title: "Faults", number: true },
  ], rows, "");
}

function showCounts(status) {
  showTable(byId("reasons"), "Answers by reason", [{ title: "Reason" }, { title: "Answers", number: true }, { title: "Meaning", extra: true }],
    status.reasons.slice(0, 12).map((one) => ({ key: one.what, cells: [one.what, count(one.count), one.meaning] })), "Nothing has been asked yet.");
  const rows = [...status.types.slice(0, 8), ...status.rcodes].map((one) => ({ key: one.what, cells: [one.what, count(one.count), percent(one.count, status.answers)] }));
  showTable(byId("types"), "Answers by type and result", [{ title: "Type or result" }, { title: "Answers", number: true }, { title: "Share", number: true }], rows, "Nothing has been asked yet.");
}
