/**
 * Brings in all frames of one case: nearest to the reader first, a few at a time, trying again for
 * as long as it takes. Four at a time, because with more a jump to a far slice waits behind them.
 */

export const CONCURRENCY = 4;
const WAITS_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];
/** From this try on the reader is told. */
export const TELL_AFTER = 2;

/**
 * @typedef {object} FrameHooks
 * @property {(k: number) => void} [loaded]
 * @property {(k: number, attempt: number, error: any) => void} [failed]
 * @property {() => void} [complete]
 */

export class FrameLoader {
  /**
   * @param {number} count
   * @param {(k: number, attempt: number) => Promise<unknown>} load
   * @param {FrameHooks} hooks
   * @param {(act: () => void, ms: number) => any} [later]
   */
  constructor(count, load, hooks, later = setTimeout) {
    this.count = count;
    this.load = load;
    this.hooks = hooks;
    this.later = (/** @type {() => void} */ act, /** @type {number} */ ms) => later(act, ms);
    /** @type {Set<number>} */
    this.done = new Set();
    /** @type {Set<number>} */
    this.busy = new Set();
    /** @type {Map<number, number>} failed tries of frames still missing */
    this.tries = new Map();
    /** @type {Map<number, number>} ticket of the wait before the next try */
    this.waiting = new Map();
    this.center = 0;
    this.running = false;
    this.solo = true;
    this.tickets = 0;
  }

  get complete() {
    return this.done.size === this.count;
  }

  /** Frames that have failed so often that the reader should know. */
  get troubled() {
    return [...this.tries].filter(([, n]) => n >= TELL_AFTER).map(([k]) => k);
  }

  /** @param {number} center the frame wanted first, and alone: it is the one on the screen */
  start(center) {
    this.center = center;
    this.running = true;
    this.#fill();
  }

  stop() {
    this.running = false;
  }

  /** The reader is here now. @param {number} k */
  focus(k) {
    this.center = k;
    if (!this.running || this.done.has(k) || this.busy.has(k) || this.waiting.has(k)) return;
    // Straight away, beyond the usual number: somebody is waiting for it.
    void this.#fetch(k);
  }

  /** Forget the waiting times: the reader asks, or the network is back. */
  retryNow() {
    this.waiting.clear();
    this.#fill();
  }

  #fill() {
    while (this.running && this.busy.size < (this.solo ? 1 : CONCURRENCY)) {
      const k = this.#next();
      if (k < 0) return;
      void this.#fetch(k);
    }
  }

  /** Nearest missing frame that is not waiting, or -1. */
  #next() {
    for (let d = 0; d < this.count; d++) {
      for (const k of d ? [this.center + d, this.center - d] : [this.center]) {
        const open = k >= 0 && k < this.count && !this.done.has(k);
        if (open && !this.busy.has(k) && !this.waiting.has(k)) return k;
      }
    }
    return -1;
  }

  /** @param {number} k */
  async #fetch(k) {
    this.busy.add(k);
    const attempt = (this.tries.get(k) ?? 0) + 1;
    try {
      await this.load(k, attempt);
      this.tries.delete(k);
      this.done.add(k);
      this.solo = false;
      if (!this.running) return;
      this.hooks.loaded?.(k);
      if (this.complete) this.hooks.complete?.();
    } catch (error) {
      this.tries.set(k, attempt);
      this.solo = false;
      this.#retryLater(k, attempt);
      if (this.running) this.hooks.failed?.(k, attempt, error);
    } finally {
      this.busy.delete(k);
      this.#fill();
    }
  }

  /** @param {number} k @param {number} attempt */
  #retryLater(k, attempt) {
    const ticket = ++this.tickets;
    this.waiting.set(k, ticket);
    this.later(() => {
      if (this.waiting.get(k) !== ticket) return;
      this.waiting.delete(k);
      this.#fill();
    }, WAITS_MS[Math.min(attempt, WAITS_MS.length) - 1]);
  }
}
