// Lines over the last minutes, drawn as SVG, each with its meaning in words.

const HEIGHT = 190;
// Seconds that a chart shows, the first that has all samples, and where its axis has marks.
const SPANS = [[60, [60, 40, 20, 0]], [300, [300, 240, 180, 120, 60, 0]], [900, [900, 600, 300, 0]]];
const LEFT = 52;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;

/**
 * Draw series over time in `place`, as wide as it is. `ages` are seconds before now, the oldest first; a series is
 * {name, values, style} where a value may be null. `scale` is "linear" from 0, or "log"; `show` makes text of a value.
 */
function showChart(place, what, ages, series, { scale, show }) {
  if (!place.clientWidth) return; // another view is shown
  const known = series.flatMap((one) => one.values).filter((value) => value !== null);
  if (!known.length) {
    if (place.dataset.shown !== "empty") put(place, element("p", { class: "quiet" }, "Nothing yet: the first sample takes some seconds."));
    place.dataset.shown = "empty";
    return;
  }
  place.dataset.shown = "drawn";
  const width = place.clientWidth;
  const [span, marks] = SPANS.find(([most]) => most >= ages[0]) ?? SPANS[SPANS.length - 1];
  const ticks = scale === "log" ? logTicks(Math.min(...known), Math.max(...known)) : linearTicks(Math.max(...known));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const bend = scale === "log" ? Math.log : (value) => value;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (bend(Math.max(value, low)) - bend(low)) / (bend(high) - bend(low)));
  const x = (age) => LEFT + (width - LEFT - RIGHT) * (1 - Math.min(age, span) / span);
  const parts = ticks.map((tick) => drawing("g", {},
    drawing("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
    drawing("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, show(tick))));
  for (const age of marks.filter((_, index) => width > 420 || (marks.length - 1 - index) % 2 === 0)) {
    const text = age ? `-${span > 60 ? `${age / 60} min` : `${age} s`}` : "now";
    const anchor = age === span ? "start" : age ? "middle" : "end";
    parts.push(drawing("text", { x: x(age), y: HEIGHT - 5, "text-anchor": anchor }, text));
  }
  series.forEach((one, index) => {
    const points = one.values.map((value, at) => (value === null ? null : [x(ages[at]), y(value)]));
    if (index === 0 && scale === "linear") parts.push(drawing("path", { class: "area", d: area(points, y(low)) }));
    parts.push(drawing("path", { class: one.style, d: line(points) }));
  });
  const label = `${what}, last ${duration(span)}. ${series.map((one) => inWords(one, show)).join("; ")}.`;
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts);
  const legend = series.map((one) => element("li", {},
    drawing("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, drawing("line", { class: one.style, x1: 0, x2: 26, y1: 4, y2: 4 })),
    `${one.name} ${show(latest(one))}`));
  put(place, svg, element("ul", { class: "legend" }, ...legend));
}

const latest = (one) => one.values[one.values.length - 1] ?? null;

function inWords(one, show) {
  const known = one.values.filter((value) => value !== null);
  return known.length ? `${one.name}: now ${show(latest(one))}, at most ${show(Math.max(...known))}` : `${one.name}: none`;
}

/** Return a path through points; one that stands alone becomes a dot. */
function line(points) {
  return points.map((point, index) => {
    if (point === null) return "";
    const place = `${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    if (points[index - 1]) return `L${place}`;
    return points[index + 1] ? `M${place}` : `M${place}h.1`;
  }).join("");
}

function area(points, ground) {
  const known = points.filter((point) => point !== null);
  if (!known.length) return "";
  const [first, last] = [known[0][0].toFixed(1), known[known.length - 1][0].toFixed(1)];
  return `${line(known)}L${last} ${ground}L${first} ${ground}Z`;
}

function linearTicks(most) {
  const rough = Math.max(most, 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const ticks = [0];
  while (ticks[ticks.length - 1] < most || ticks.length < 3) ticks.push(Number((ticks.length * step).toPrecision(12)));
  return ticks;
}

function logTicks(least, most) {
  const low = Math.floor(Math.log10(Math.max(least, 1e-6)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(most, 1e-6))), low + 1);
  return Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
}
