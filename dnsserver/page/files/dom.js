// Elements out of values. What the server says becomes text nodes and attributes only, never markup.

const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: attributes by name, children as elements or text. */
function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Set an element's text, if it is another one: what has not changed is not read out again, and stays selected. */
function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Replace an element's children. */
function put(target, ...children) {
  target.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

/**
 * Show rows in a table in `place`. `columns` are {title, number, extra, long}; a row is {key, cells}, and a cell text or
 * {text, href, tone, title}. Rows that stay are the same elements, so that focus and selection survive an update.
 */
function showTable(place, caption, columns, rows, empty) {
  if (!rows.length) {
    if (place.dataset.shown !== "empty" || place.textContent !== empty) put(place, element("p", { class: "quiet" }, empty));
    place.dataset.shown = "empty";
    return;
  }
  const shape = JSON.stringify([caption, columns.map((column) => column.title)]);
  if (place.dataset.shown !== shape) {
    const head = columns.map((column) => element("th", { scope: "col", class: classes(column) }, column.title));
    put(place, element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, ...head)), element("tbody")));
    place.dataset.shown = shape;
  }
  const body = place.querySelector("tbody");
  const present = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  rows.forEach((row, index) => {
    const key = String(row.key);
    const shown = present.get(key) ?? newRow(key, columns);
    present.delete(key);
    row.cells.forEach((cell, column) => showCell(shown.children[column], cell));
    if (body.children[index] !== shown) body.insertBefore(shown, body.children[index] ?? null);
  });
  while (body.children.length > rows.length) body.lastElementChild.remove(); // also of rows with one key, as some have
  if (focused !== null && focused.isConnected && document.activeElement !== focused) focused.focus();
}

function newRow(key, columns) {
  const cells = columns.map((column, index) =>
    index === 0 ? element("th", { scope: "row", class: classes(column) }) : element("td", { class: classes(column) }));
  const row = element("tr", {}, ...cells);
  row.dataset.key = key;
  return row;
}

function classes(column) {
  return ["number", "extra", "long"].filter((name) => column[name]).join(" ") || null;
}

function showCell(target, cell) {
  const { text, href, tone, title } = typeof cell === "object" && cell !== null ? cell : { text: cell };
  const shown = String(text ?? "");
  const wanted = JSON.stringify([shown, href, tone, title]);
  if (target.dataset.cell === wanted) return;
  target.dataset.cell = wanted;
  let inner = target.firstElementChild;
  if (href) {
    if (inner?.tagName !== "A") {
      inner = element("a");
      put(target, inner);
    }
    inner.setAttribute("href", href);
  } else if (tone || title) {
    inner = element("span", { class: tone, title });
    put(target, inner);
  } else {
    inner = target;
  }
  say(inner, shown);
}

/** Show terms and what is said of each in a list of definitions. */
function showFacts(place, facts) {
  if (place.children.length !== facts.length) {
    put(place, ...facts.map(() => element("div", {}, element("dt"), element("dd"))));
  }
  facts.forEach(([term, text, tone], index) => {
    const [dt, dd] = place.children[index].children;
    say(dt, term);
    say(dd, text);
    if (dd.className !== (tone ?? "")) dd.className = tone ?? "";
  });
}

/** Return the address of a view: its path, each part escaped, and its fields. */
function address(path, fields = {}) {
  const query = Object.entries(fields).filter(([, value]) => value !== "" && value !== 0 && value !== undefined);
  const shown = path.map(encodeURIComponent).join("/");
  return `#/${shown}${query.length ? `?${new URLSearchParams(query)}` : ""}`;
}
