// What is asked of the server, and when: not while nobody looks, and more seldom while it does not answer.

const PATIENCE = 25_000; // ms for an answer; the server itself gives up earlier
const QUIET = 2_500; // ms without word of the server's state, after which it is told that there is none
const SLOWEST = 10_000; // ms between two tries

class Denied extends Error {}
class Refused extends Error {}
class Lost extends Error {}

let token = sessionStorage.getItem("token") ?? "";

/** Return what the server says as JSON. Throws Denied or Refused with its words, or Lost if it says nothing. */
async function ask(path, fields = {}, signal = undefined) {
  try {
    return await answer(path, fields, signal);
  } catch (error) {
    if (error instanceof Denied || error instanceof Refused) throw error;
    throw new Lost(error.message);
  }
}

async function answer(path, fields, signal) {
  const query = new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== "" && value !== undefined));
  const headers = { accept: "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const limits = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
  const response = await fetch(`${path}${query.size ? `?${query}` : ""}`, {
    headers, cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.any(limits),
  });
  if (response.status === 403) throw new Denied((await response.text()).trim());
  if (!response.ok) throw new Refused((await response.text()).trim());
  return response.json();
}

/** Asks again and again while the tab is seen; `every` and `patience` are in ms. */
class Poll {
  constructor(every, run, failed, patience = PATIENCE) {
    this.patience = patience; // ms, after which it is told that there is no answer yet
    this.every = every;
    this.run = run;
    this.failed = failed;
    this.wait = every;
    this.timer = 0;
    this.stopped = true;
    this.abort = new AbortController();
    this.quiet = 0;
  }

  start() {
    if (!this.stopped) return;
    this.stopped = false;
    this.wait = this.every;
    this.turn();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.quiet);
    this.abort.abort();
  }

  async turn() {
    const abort = (this.abort = new AbortController());
    this.quiet = setTimeout(() => this.failed(Object.assign(new Lost("no answer yet"), { waited: this.patience })), this.patience);
    try {
      await this.run(abort.signal);
      this.wait = this.every;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.wait = Math.min(2 * this.wait, SLOWEST);
      this.failed(error);
    } finally {
      clearTimeout(this.quiet);
    }
    if (!this.stopped && abort === this.abort) this.timer = setTimeout(() => this.turn(), this.wait);
  }
}
