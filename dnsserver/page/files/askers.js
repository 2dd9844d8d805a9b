// What one client asks, and who asks for one name: from the packets that were looked at last.

const ASKED = 50;
const ASKED_NAMES = 8; // of one explanation

const clientAddress = (client) => address(["client", client]);

/** A client, with the way to what it asks. */
const clientCell = (row) => ({ text: row.client, href: clientAddress(row.client) });

/** Show what the client of the address asks, and what failed for it. */
async function showClient([client = ""], signal) {
  const minutes = byId("lists-window").value;
  const [top, failures] = await Promise.all([
    ask("/top", { client, window: minutes, limit: ASKED }, signal),
    ask("/failures", { missing: "yes", limit: 100 }, signal),
  ]);
  const failed = failures.items.filter((row) => row.client === client);
  const known = failed[0] ?? lately.clients.find((row) => row.client === client);
  const owner = known ? who(known) : "";
  say(byId("client-said"), `${client}${owner ? `, ${owner}` : ""}: ${seen(top.names, top)}`);
  const from = known?.pods[0] ?? "";
  showTable(byId("client-names"), "Names that it asks for", [
    { title: "Name", long: true }, { title: "Reason", extra: true }, { title: "Questions", number: true }, { title: "Share", number: true, extra: true },
  ], top.names.items.map((row) => ({ key: row.name, cells: [{ text: row.name, href: explainAddress(row.name, "", from) }, row.reason || "–", about(row, top.names), share(row)] })), "It has asked nothing just now.");
  showFailureRows(byId("client-failures"), "What failed for it", failed, "Nothing that is remembered failed for it.");
}

/** How many questions a list is about, and of how long ago. */
function seen(list, top) {
  if (!top.counting) return "packets are not counted.";
  return `${many(list.total, "question")}${list.seconds ? ` in the last ${duration(list.seconds)}` : ""}${top.one_in > 1 ? `, estimated: one packet in ${count(top.one_in)} is looked at` : ""}.`;
}

/** Show who asks for the names of an explanation. */
async function showAskers(names, place, signal) {
  const tops = await Promise.all(names.slice(0, ASKED_NAMES).map((name) => ask("/top", { name, window: 15, limit: 10 }, signal)));
  const rows = tops.flatMap((top) => top.clients.items.map((row) => ({
    key: `${top.asked} ${row.client}`, number: row.count, cells: [clientCell(row), who(row) || "–", top.asked, about(row, top.clients)],
  })));
  rows.sort((one, other) => other.number - one.number);
  const seconds = Math.max(...tops.map((top) => top.clients.seconds));
  showTable(place, "Who asks for it", [
    { title: "Client", long: true }, { title: "Who that is", long: true }, { title: "Name", long: true }, { title: "Questions", number: true },
  ], rows, seconds ? `Nobody has asked for it in the last ${duration(seconds)}, as far as packets were looked at.` : "Nobody has asked for it just now.");
}
