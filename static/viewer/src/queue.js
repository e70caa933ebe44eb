/**
 * Answers on their way to the server.
 *
 * An answer is written to the browser's store before it is sent, carries a UUID made here, and
 * leaves the store only when the server has said that it is kept. Sending it twice is harmless,
 * losing it takes losing the computer. Answers go one after another, in the order they were given.
 */

/** @import {Answer, Worklist} from "./types.js" */
/** @import {Store} from "./store.js" */

/**
 * @typedef {{answer: Answer, reader: string, at: number, stuck: string|null}} Item
 * @typedef {object} Hooks
 * @property {(item: Item, worklist: Worklist|null) => void} stored
 * @property {(item: Item, stored: any) => void} conflict   the case had an answer already
 * @property {(item: Item) => void} refused  the server will not have it; it stays in the store
 * @property {() => void} changed                           count or state is new
 */

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

/**
 * Wait before try number `tries` (1, 2, ...): doubling up to half a minute, with a spread so that
 * fifty readers do not all come back at the same moment after a restart.
 * @param {number} tries @param {number} [spread] 0..1
 */
export function backoff(tries, spread = 0) {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1)) * (1 + 0.3 * spread);
}

export class AnswerQueue {
  /**
   * @param {object} options
   * @param {Store} options.store
   * @param {string} options.reader
   * @param {(answer: Answer) => Promise<{worklist?: Worklist}>} options.send throws ApiError
   * @param {Hooks} options.hooks
   * @param {(act: () => void, ms: number) => any} [options.later]
   * @param {() => number} [options.random]
   */
  constructor({ store, reader, send, hooks, later = setTimeout, random = Math.random }) {
    this.store = store;
    this.reader = reader;
    this.send = send;
    this.hooks = hooks;
    this.later = (/** @type {() => void} */ act, /** @type {number} */ ms) => later(act, ms);
    this.random = random;
    /** @type {Item[]} */
    this.items = [];
    this.sending = false;
    this.tries = 0;
    /** @type {"idle"|"sending"|"waiting"|"signin"} */
    this.state = "idle";
    /** @type {string} why the last try failed, for the reader */
    this.trouble = "";
    this.timer = 0;
  }

  /** Takes up what an earlier page left behind. */
  async open() {
    const kept = /** @type {Item[]} */ (await this.store.all("answers"));
    this.items = kept
      .filter((item) => item?.answer && (!this.reader || !item.reader || item.reader === this.reader))
      .sort((a, b) => a.at - b.at)
      .map((item) => ({ ...item, stuck: null }));
    this.hooks.changed();
  }

  /** Answers not yet with the server. */
  get unsent() {
    return this.items.length;
  }

  /** Answers the server refuses; they stay in the browser until somebody has looked. */
  get stuck() {
    return this.items.filter((item) => item.stuck !== null);
  }

  /** @param {string} token */
  has(token) {
    return this.items.some((item) => item.answer.token === token);
  }

  /**
   * Keeps an answer and starts sending. Resolves when it is in the store; `false` means that the
   * browser could not store it and only this page holds it.
   * @param {Answer} answer @param {number} at wall clock, orders the queue
   */
  async add(answer, at) {
    /** @type {Item} */
    const item = { answer, reader: this.reader, at, stuck: null };
    this.items.push(item);
    this.hooks.changed();
    let kept = true;
    try {
      await this.store.put("answers", answer.client_uuid, item);
    } catch {
      kept = false;
    }
    this.kick();
    return kept;
  }

  /** Gives refused answers another chance: the study may be open again. */
  unstick() {
    for (const item of this.items) item.stuck = null;
    this.kick();
  }

  /** Tries now: something changed for the better (back online, signed in, the reader asks). */
  kick() {
    this.timer += 1; // any pending timer is stale
    void this.#run();
  }

  async #run() {
    if (this.sending) return;
    this.sending = true;
    try {
      for (;;) {
        const item = this.items.find((i) => i.stuck === null);
        if (!item) {
          this.#become("idle");
          return;
        }
        this.#become("sending");
        if (!(await this.#deliver(item))) return;
      }
    } finally {
      this.sending = false;
    }
  }

  /** @param {Item} item @returns {Promise<boolean>} go on with the next one? */
  async #deliver(item) {
    try {
      const reply = await this.send(item.answer);
      await this.#settle(item);
      this.hooks.stored(item, reply?.worklist ?? null);
      return true;
    } catch (thrown) {
      const error = /** @type {import("./api.js").ApiError} */ (thrown);
      this.trouble = error.message;
      if (error.kind === "conflict") {
        await this.#settle(item);
        this.hooks.conflict(item, error.body?.stored ?? null);
        return true;
      }
      if (error.kind === "signin") {
        this.#become("signin");
        return false;
      }
      if (error.kind === "refused" || error.kind === "invalid") {
        item.stuck = error.message;
        this.hooks.changed();
        this.hooks.refused(item);
        return true;
      }
      this.#wait();
      return false;
    }
  }

  /** @param {Item} item */
  async #settle(item) {
    this.tries = 0;
    this.trouble = "";
    this.items = this.items.filter((i) => i !== item);
    try {
      await this.store.remove("answers", item.answer.client_uuid);
    } catch {
      // It will be sent again after a reload and recognized by its UUID.
    }
  }

  #wait() {
    this.tries += 1;
    this.#become("waiting");
    const ticket = ++this.timer;
    this.later(() => ticket === this.timer && void this.#run(), backoff(this.tries, this.random()));
  }

  /** @param {AnswerQueue["state"]} state */
  #become(state) {
    this.state = state;
    this.hooks.changed();
  }
}
