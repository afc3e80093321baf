/** Waiting with a deadline: for a promise, for a condition, for an event. */

/** How long an event may take on a loaded machine before the test calls it missing. */
export const PATIENCE = 15_000;
const POLL_INTERVAL = 25;

/** The promise's value, or an error that says what did not come. */
export async function within(what, milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Polls until `check` returns something true and returns that. For what has no event to wait for. */
export async function until(what, milliseconds, check) {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`waited ${milliseconds} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
}

/** Keeps every event of an emitter from its start, so that none can be missed between two waits. */
export class Recorder {
  constructor() {
    this.all = [];
    this.taken = 0;
    this.wake = () => {};
  }

  /** Records these events of an emitter. */
  static of(emitter, ...names) {
    const recorder = new Recorder();
    for (const name of names) emitter.on(name, (context) => recorder.push(name, context));
    return recorder;
  }

  push(name, context) {
    this.all.push({ name, context });
    this.wake();
  }

  /** The context of the next event of this name, in order; events before it are passed over. */
  async next(name, match, patience) {
    return (await this.nextOf([name], match, patience)).context;
  }

  /** The next event of any of these names. One wait at a time. */
  async nextOf(names, match = () => true, patience = PATIENCE) {
    const deadline = performance.now() + patience;
    for (;;) {
      while (this.taken < this.all.length) {
        const event = this.all[this.taken++];
        if (names.includes(event.name) && match(event.context)) return event;
      }
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`waited ${patience} ms for ${names.join(" or ")}; seen: ${this.summary()}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => (clearTimeout(timer), resolve());
      });
    }
  }

  /** How many events of this name there have been. */
  count(name) {
    return this.all.filter((event) => event.name === name).length;
  }

  summary() {
    const text = this.all.slice(-12).map(({ name, context }) => `${name} ${brief(context)}`).join("; ");
    return text || "nothing";
  }
}

function brief(context) {
  if (context instanceof Uint8Array) return `<${context.length} bytes>`;
  const text = JSON.stringify(context) ?? "";
  return text.length > 160 ? `${text.slice(0, 160)}…` : text;
}
