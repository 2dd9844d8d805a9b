// Why a name fails for a client, or what it leads to.

const ENDINGS = {
  found: "found", "no-data": "not found: the name exists, but has no such records", "not-found": "not found: no such name",
  failed: "failed: the name may exist, but no answer came",
};

let explaining = new AbortController();
let explained = "";

/** The address of the view that explains a name, as a client asks it. */
function explainAddress(name, type = "", from = "") {
  return address(["explain"], { name, type, from });
}

/** Fill the form from the address, and explain what it names. */
async function showExplain(fields) {
  const [name, type, from] = ["name", "type", "from"].map((field) => (fields.get(field) ?? "").trim());
  byId("explain-name").value = name;
  byId("explain-type").value = type;
  byId("explain-from").value = from;
  explaining.abort();
  const wanted = JSON.stringify([name, type, from]);
  if (!name || wanted === explained) return;
  explained = "";
  explaining = new AbortController();
  const { signal } = explaining;
  say(byId("explain-said"), `Asking for ${name} …`);
  put(byId("explain-result"));
  try {
    const client = from.includes("/") ? { pod: from } : { namespace: from };
    const found = await ask("/explain", { name, type, ...client }, signal);
    explained = wanted;
    await showExplanation(found, from, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refused) say(byId("explain-said"), sentence(error.message));
    else failed(error);
    if (error instanceof Lost) say(byId("explain-said"), "The server did not answer. Try again.");
  }
}

/** Show an explanation, and then who asks for its names. */
function showExplanation(found, from, signal) {
  const said = byId("explain-said");
  said.className = `verdict ${found.resolves ? "good" : "bad"}`;
  say(said, found.verdict);
  const place = byId("explain-result");
  const [questions, askers] = [element("div"), element("div")];
  put(place,
    found.nearest.length ? element("p", {}, "Similar names: ", ...found.nearest.flatMap((name) => [element("a", { href: explainAddress(name, "", from) }, name), " "])) : null,
    found.notes.length ? element("ul", { class: "notes" }, ...found.notes.map((note) => element("li", {}, note))) : null,
    element("h3", {}, "Each question and its answer"), questions,
    element("h3", {}, "What is asked, in order"), ...ways(found.ways),
    element("h3", {}, "Who asks for it"), askers,
    element("h3", {}, "For whom this is explained"),
    element("p", {}, `${found.client.who}; search list: ${(found.client.search ?? []).join(" ") || "none"}; ndots ${found.ndots}`));
  showTable(questions, "Questions and answers", [
    { title: "Question", long: true }, { title: "Result" }, { title: "Records, or why there are none", long: true }, { title: "From", long: true, extra: true },
  ], together(found.questions.map((one) => ({
    name: one.name, types: [one.type], tone: one.found ? "good" : "bad",
    said: [one.rcode === "NOERROR" && !one.found ? "no data" : one.rcode, outcome(one), one.sources.map(source).join("; ")],
  })), (one, other) => one.name === other.name && one.said.join() === other.said.join()).map((one) => ({
    key: `${one.name} ${one.types}`,
    cells: [`${one.name} ${one.types.join(", ")}`, { text: one.said[0], tone: one.tone }, one.said[1], one.said[2]],
  })), "Nothing is asked.");
  return showAskers([...new Set(found.questions.map((one) => one.name))], askers, signal);
}

/** Make one of rows that are alike: of their `types` too. */
function together(rows, alike) {
  const found = [];
  for (const row of rows) {
    const same = found.find((one) => alike(one, row));
    if (same) same.types.push(...row.types);
    else found.push(row);
  }
  return found;
}

/** The records of an answer, or why there are none and what to do; and what else clients are told of it. */
function outcome(one) {
  const records = one.records.map((record) => `${record.type} ${record.data}`);
  const shown = records.slice(0, 8).join(", ") + (records.length > 8 ? ` and ${records.length - 8} more` : "");
  const told = one.errors.filter((error) => !error.text || error.text !== one.text)
    .map((error) => `EDE ${error.code} (${error.name || "not known here"})${error.text && `: ${error.text}`}`);
  if (one.found) return [shown, ...told].join("; ");
  return [shown && `${shown};`, ended(`${one.reason}: ${one.text || one.meaning}`), ...told.map(ended), quoted(one.advice)].filter((text) => text).join(" ");
}

/** Text with commands in quotation marks, where the terminal has backticks. */
const quoted = (text) => text.replaceAll(/`([^`]+)`/g, "“$1”");

function source(one) {
  const more = [one.upstream && `upstream ${one.upstream}`, typeof one.age === "number" && `${duration(one.age)} old`, typeof one.seconds === "number" && `after ${latency(one.seconds)}`, one.place];
  const said = more.filter((text) => text);
  return said.length ? `${one.text} (${said.join(", ")})` : one.text;
}

/** What each resolver asks; those that ask the same share a list. */
function ways(all) {
  const rows = all.map((one) => ({ ...one, types: [one.resolver] }));
  return together(rows, (one, other) => JSON.stringify([one.asks, one.ending]) === JSON.stringify([other.asks, other.ending])).map(way);
}

function way(one) {
  const asks = one.asks.map((each) => element("li", { class: each.found ? "good" : null }, `${each.name} ${each.types.join(" and ")}: ${each.why}`));
  return element("div", {}, element("h4", {}, one.types.join(", ")), element("ol", {}, ...asks), element("p", {}, `${ENDINGS[one.ending] ?? one.ending}${one.why ? ` (${one.why})` : ""}`));
}
