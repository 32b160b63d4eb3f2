// From a key going down to the picture that it changed: measured on the page, over the last 100 presses.

const KEPT = 100;

export class Latency {
  #waiting = new Map();
  #found = [];

  pressed(press, now) {
    this.#waiting.set(press, now);
    if (this.#waiting.size > KEPT) this.#waiting.delete(this.#waiting.keys().next().value);
  }

  // `press` is the newest that took part in the frame; older ones that never made it are forgotten.
  seen(press, now) {
    const since = this.#waiting.get(press);
    if (since !== undefined) this.#found = [...this.#found, now - since].slice(-KEPT);
    for (const older of [...this.#waiting.keys()]) if (older <= press) this.#waiting.delete(older);
  }

  // What waits would be measured with the pause.
  forget() { this.#waiting.clear(); }

  get isEmpty() { return !this.#found.length; }
  get p50() { return this.#rank(0.5); }
  get p95() { return this.#rank(0.95); }

  #rank(share) {
    const sorted = [...this.#found].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }
}

export const milliseconds = (p50, p95) => `${p50.toFixed(0)} / ${p95.toFixed(0)} ms`;
