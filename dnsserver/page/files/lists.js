// Who asks what in the last minutes, what failed just now, and what changed.

const LISTED = 8;
const FAILURES = 15;
const CHANGES = 12;

// A name that no object has is asked all day, by search lists. Where there is an object, that its name has no answer counts.
const BROKEN = new Set(["no-ready-endpoints", "port-unknown", "endpoint-missing", "below-external-name"]);

let lately = { minutes: 5, most: "–", clients: [], upstreams: new Map() };

const who = (row) => [...row.pods, ...(row.pods.length ? [] : row.services)].join(", ");

/** Ask for the lists, and show them. */
async function showLists(signal) {
  const minutes = byId("lists-window").value;
  const [top, failures, missing, changes] = await Promise.all([
    ask("/top", { window: minutes, what: "clients,names,domains,missing,slow,upstreams", limit: LISTED }, signal),
    ask("/failures", { missing: "no", limit: FAILURES }, signal),
    ask("/failures", { missing: "yes", limit: 100 }, signal),
    ask("/changes", { limit: CHANGES }, signal),
  ]);
  const [most] = top.clients.items;
  lately = { minutes: top.window, most: most ? `${who(most) || most.client} (${share(most)})` : "–", clients: top.clients.items, upstreams: new Map(top.upstreams.items.map((one) => [one.name, one])) };
  showClients(top.clients);
  showNames("top-names", "Names asked most", top.names, "Nothing was asked.");
  showDomains(top.domains);
  showNames("top-missing", "Names that do not exist", top.missing, "Every name existed.");
  showSlow(top);
  showFailures(failures, missing);
  showChanges(changes);
  const sampled = top.counting ? (top.one_in > 1 ? `One packet in ${count(top.one_in)} is looked at, so counts have an error (±).` : "") : "Packets are not counted.";
  say(byId("lists-note"), sampled);
}

/** A count with how wrong it may be. */
function about(row, list) {
  const wrong = (row.plus_minus ?? 0) + (list.slack ?? 0);
  return wrong ? `${count(row.count)} ± ${count(wrong)}` : count(row.count);
}

/** What went wrong with an upstream in the last minutes, by cause; "" for nothing. */
function troubles(name) {
  const one = lately.upstreams.get(name);
  const causes = Object.entries(one?.causes ?? {}).sort(([, most], [, least]) => least - most);
  return causes.map(([cause, number]) => `${cause} ${count(number)}`).join(", ");
}

const share = (row) => percent(row.share, 1);

function showClients(list) {
  showTable(byId("top-clients"), "Clients that ask most", [
    { title: "Client", long: true }, { title: "Who that is", long: true }, { title: "Questions", number: true }, { title: "Share", number: true, extra: true },
  ], list.items.map((row) => ({ key: row.client, cells: [clientCell(row), who(row) || "–", about(row, list), share(row)] })), "Nobody asked.");
}

function showNames(place, caption, list, empty) {
  const reasons = list.items.some((row) => row.reason);
  showTable(byId(place), caption, [
    { title: "Name", long: true }, ...(reasons ? [{ title: "Reason", extra: true }] : []), { title: "Questions", number: true }, { title: "Share", number: true, extra: true },
  ], list.items.map((row) => ({ key: row.name, cells: [{ text: row.name, href: explainAddress(row.name) }, ...(reasons ? [row.reason || "–"] : []), about(row, list), share(row)] })), empty);
}

/** A domain is a name without its first label: a flood of random names shows here only. */
function showDomains(list) {
  showTable(byId("top-domains"), "Domains asked most", [
    { title: "Domain", long: true }, { title: "Questions", number: true }, { title: "Share", number: true, extra: true },
  ], list.items.map((row) => ({ key: row.name, cells: [row.name, about(row, list), share(row)] })), "Nothing was asked.");
}

function showSlow(top) {
  showTable(byId("top-slow"), "Slow outside names", [
    { title: "Name", long: true }, { title: `Took ${latency(top.slow_from)} or more`, number: true }, { title: "Longest", number: true },
  ], top.slow.items.map((row) => ({ key: row.name, cells: [{ text: row.name, href: explainAddress(row.name) }, count(row.count), latency(row.longest)] })), `No answer took ${latency(top.slow_from)} or more.`);
}

/** `failures` leaves out names that do not exist, `missing` has all that is newest. */
function showFailures(failures, missing) {
  const wanted = byId("failures-missing").checked ? missing.items : missing.items.filter((row) => row.rcode === "NXDOMAIN" && BROKEN.has(row.reason)).concat(failures.items);
  const shown = [...wanted].sort((one, other) => one.age - other.age).slice(0, FAILURES);
  showFailureRows(byId("failures"), "Recent failures", shown, "Nothing failed.");
  const unrecorded = failures.unrecorded ? ` ${count(failures.unrecorded)} more came too fast to be recorded.` : "";
  say(byId("failures-note"), `The newest failures since the server started, however long ago; the minutes above are for the other lists. Replies that were sent again from the cache are not counted.${unrecorded}`);
}

function showChanges(changes) {
  showTable(byId("changes"), "What changed", [
    { title: "Service", long: true }, { title: "What", long: true }, { title: "Events", number: true, extra: true }, { title: "Last" },
  ], changes.rows.map((row) => ({
    key: [row.namespace, row.service, row.first].join(" "),
    cells: [
      { text: row.service ? `${row.namespace}/${row.service}` : row.namespace, href: address(["zone", row.namespace, ...(row.service ? [row.service] : [])]) },
      { text: row.what.join("; "), tone: row.broken ? "bad" : "" }, count(row.count), ago(Math.max(0, changes.now - row.last)),
    ],
  })), changes.since ? `Nothing changed in the last ${duration(changes.now - changes.since)}; what was before is not known.` : "The cluster is not read yet.");
  say(byId("changes-note"), changes.unheard ? `The last changes may be missing: ${changes.unheard}` : "");
}

function showFailureRows(place, caption, rows, empty) {
  showTable(place, caption, [
    { title: "Question", long: true }, { title: "Result" }, { title: "Why", long: true }, { title: "Asked by", long: true, extra: true },
    { title: "Times", number: true, extra: true }, { title: "Last" },
  ], rows.map((row) => ({
    key: [row.client, row.name, row.type, row.rcode, row.reason].join(" "),
    cells: [
      row.name ? { text: `${row.name} ${row.type}`, href: explainAddress(row.name, row.type, row.pods[0]) } : "(unreadable)", { text: row.rcode || "no reply", tone: "bad" }, row.text ? `${row.reason}: ${row.text}` : row.reason,
      { text: who(row) || row.client, href: clientAddress(row.client) }, count(row.count), ago(row.age),
    ],
  })), empty);
}
