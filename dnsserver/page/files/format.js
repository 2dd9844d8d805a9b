// Numbers as a person reads them; a number and its unit stay on one line.

const plain = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

const count = (value) => plain.format(value);

function rate(value) {
  return value >= 100 ? plain.format(Math.round(value)) : compact.format(value);
}

/** Seconds as "4.2 s", "3 min", "2 h 5 min", "3 d 4 h". */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  if (seconds < 1) return `${compact.format(Math.round(seconds * 10) / 10)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 5400) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const ago = (seconds) => (seconds === null || seconds === undefined ? "never" : `${duration(seconds)} ago`);

/** The time that an answer took, from seconds. */
function latency(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds >= 1) return `${compact.format(seconds)}\u00a0s`;
  if (seconds >= 0.001) return `${compact.format(seconds * 1000)}\u00a0ms`;
  return `${compact.format(seconds * 1e6)}\u00a0µs`;
}

function octets(value) {
  if (value === null || value === undefined) return "–";
  for (const unit of ["B", "KiB", "MiB"]) {
    if (value < 1024) return `${compact.format(value)}\u00a0${unit}`;
    value /= 1024;
  }
  return `${compact.format(value)}\u00a0GiB`;
}

function percent(part, whole) {
  return whole ? `${compact.format((100 * part) / whole)}\u00a0%` : "–";
}

const many = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;
