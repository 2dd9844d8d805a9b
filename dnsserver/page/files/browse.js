// Namespaces, their services, and what a service has: the server filters and pages.

const ROWS = 50;

/** Show what the address says: all, a namespace, or a service. */
async function showZone(path, fields, signal) {
  const [namespace, service] = path;
  const wanted = { filter: fields.get("filter") ?? "", offset: Number(fields.get("offset") ?? 0) || 0, limit: ROWS };
  const [found, states] = await Promise.all([
    ask("/zone", { ...wanted, namespace, service }, signal),
    service === undefined ? null : ask("/endpoints", { namespace, service }, signal).catch((error) => ({ total: 0, endpoints: [], problem: error.message })),
  ]);
  const links = [element("a", { href: address(["zone"]) }, "All namespaces")];
  if (namespace !== undefined) links.push(" / ", service === undefined ? namespace : element("a", { href: address(["zone", namespace]) }, namespace));
  if (service !== undefined) links.push(" / ", service);
  const place = byId("zone-path");
  if (place.dataset.shown !== path.join("/")) put(place, ...links);
  place.dataset.shown = path.join("/");
  say(byId("zone-filter-label"), ["Find a namespace or service", "Find a service", "Find an endpoint"][path.length] ?? "Filter");
  const list = byId("zone-list");
  const shape = String(path.length);
  if (list.dataset.shape !== shape) put(list, element("div"), element("h3", { hidden: "" }), element("div"));
  list.dataset.shape = shape;
  const parts = list.children;
  if (service !== undefined) showService(parts, found, states, wanted.filter);
  else if (namespace !== undefined) showServices(parts, found);
  else showNamespaces(parts, found, wanted);
  showPages(path, wanted, found.total);
}

function showNamespaces([first, title, second], found, wanted) {
  const services = wanted.filter ? `, ${many(found.services_total, "service")}` : "";
  say(byId("zone-said"), `${many(found.total, "namespace")}${services}${wanted.filter ? ` with “${wanted.filter}” in the name` : ""}`);
  const rows = found.rows.map((row) => ({
    key: row.name,
    cells: [
      { text: row.name, href: address(["zone", row.name]) }, count(row.services),
      row.exists ? "–" : { text: "no such namespace: nothing is answered", tone: "warn" },
    ],
  }));
  showTable(first, "Namespaces", [{ title: "Namespace" }, { title: "Services", number: true }, { title: "Note" }], rows, "No namespace has that in its name.");
  title.hidden = second.hidden = !wanted.filter;
  say(title, found.services_total > found.services.length ? `Services, the first ${found.services.length}` : "Services");
  showTable(second, "Services in all namespaces", serviceColumns(true), found.services.map((row) => serviceRow(row, true)), "No service has that in its name.");
}

function showServices([first, title, second], found) {
  say(byId("zone-said"), `${many(found.total, "service")}${found.exists ? "" : "; there is no such namespace: nothing is answered"}`);
  showTable(first, `Services of ${found.namespace}`, serviceColumns(false), found.rows.map((row) => serviceRow(row, false)), "No such service.");
  title.hidden = second.hidden = true;
}

function serviceColumns(everywhere) {
  return [
    ...(everywhere ? [{ title: "Namespace" }] : []), { title: "Service" }, { title: "Kind", extra: true }, { title: "Addresses", long: true },
    { title: "Ports", extra: true }, { title: "Ready", number: true }, { title: "Not ready", number: true },
  ];
}

function serviceRow(row, everywhere) {
  const starved = !row.ready && row.kind !== "ExternalName";
  const link = { text: row.name, href: address(["zone", row.namespace, row.name]) };
  const cells = [
    link, row.kind || "no Service", row.addresses.join(", ") || "–", row.ports.join(", ") || "–",
    { text: count(row.ready), tone: starved ? "warn" : "" }, count(row.unready),
  ];
  return { key: `${row.namespace}/${row.name}`, cells: everywhere ? [row.namespace, ...cells] : cells };
}

function showService([first, title, second], found, states, filter) {
  const { row } = found;
  const said = [row.kind || "There are EndpointSlices, but no Service of that name: nothing is answered", ...row.addresses];
  if (found.external) said.push(`stands for ${found.external}`);
  if (row.ports.length) said.push(`ports ${row.ports.join(", ")}`);
  said.push(`${many(row.ready, "ready address")}, ${count(row.unready)} not ready, in ${many(found.slices, "slice")}`.replace("addresss", "addresses"));
  if (states.problem) said.push(states.problem);
  say(byId("zone-said"), said.join("; "));
  showTable(first, "Records", [{ title: "Name" }, { title: "Type" }, { title: "Records", long: true }, { title: "TTL", number: true, extra: true }],
    found.records.map((record) => ({
      key: `${record.name} ${record.type}`,
      cells: [
        { text: record.name, href: explainAddress(record.name, record.type) }, record.type,
        record.data.length ? record.data.join(", ") + (record.more ? ` and ${record.more} more` : "")
          : { text: `${ended(`${record.rcode}, ${record.reason}: ${record.meaning}`)} ${quoted(record.advice)}`, tone: "warn" },
        record.ttl === null ? "" : `${record.ttl} s`,
      ],
    })), "No records.");
  title.hidden = second.hidden = false;
  const rows = [...notReady(states.endpoints, filter), ...found.endpoints.map((endpoint, index) => readyRow(endpoint, index, states.endpoints))];
  say(title, `Endpoints: ${count(found.total)} ready, and so in answers`);
  showTable(second, "Endpoints", [
    { title: "Address" }, { title: "State" }, { title: "Pod", long: true }, { title: "Node", extra: true }, { title: "Own name", long: true }, { title: "EndpointSlice", extra: true },
  ], rows, "There is no endpoint.");
}

/** The endpoints that no answer has, of those that have the filter in their address, hostname or pod. */
function notReady(states, filter) {
  const wanted = states.filter((one) => one.state !== "ready" && [...one.addresses, one.hostname, one.pod].some((text) => text.includes(filter.toLowerCase())));
  return wanted.map((one) => ({
    key: `${one.slice} ${one.addresses.join()} ${one.state}`,
    cells: [one.addresses.join(", "), { text: one.state, tone: "warn" }, one.pod || "–", one.node || "–", one.hostname || "–", one.slice],
  }));
}

function readyRow(endpoint, index, states) {
  const known = states.find((one) => one.slice === endpoint.slice && one.addresses.includes(endpoint.address));
  const state = endpoint.leaving ? { text: "left a moment ago", tone: "warn" } : { text: known?.state ?? "ready", tone: "good" };
  return { key: `${index} ${endpoint.address}`, cells: [endpoint.address, state, known?.pod || "–", known?.node || "–", endpoint.name || endpoint.hostname || "–", endpoint.slice || "–"] };
}

function showPages(path, wanted, total) {
  const pages = byId("zone-pages");
  const state = JSON.stringify([path, wanted, total]);
  if (pages.dataset.shown === state) return;
  pages.dataset.shown = state;
  if (total <= ROWS) {
    put(pages);
    return;
  }
  const to = (offset) => address(["zone", ...path], { filter: wanted.filter, offset });
  put(pages,
    wanted.offset ? element("a", { href: to(Math.max(0, wanted.offset - ROWS)) }, "Previous") : null,
    element("span", {}, `${count(wanted.offset + 1)} to ${count(Math.min(total, wanted.offset + ROWS))} of ${count(total)}`),
    wanted.offset + ROWS < total ? element("a", { href: to(wanted.offset + ROWS) }, "Next") : null);
}
