/** One case on its way into the browser: its frames, how far they are, and freeing them again. */

import { FrameLoader } from "./frames.js";

/** @import {Case} from "./types.js" */
/** @import {Engine} from "./cornerstone.js" */

/**
 * @typedef {object} LoadEvents
 * @property {(load: CaseLoad, k: number) => void} frame
 * @property {(load: CaseLoad) => void} complete
 * @property {(load: CaseLoad, k: number, attempt: number, reason: string, status: number) => void} failed
 */

export class CaseLoad {
  /** @param {Case} c @param {Engine} engine @param {LoadEvents} events */
  constructor(c, engine, events) {
    this.c = c;
    this.engine = engine;
    this.started = false;
    /** the signed addresses of its frames have run out */
    this.expired = false;
    this.ids = engine.register(c);
    /** @type {Set<number>} frames that came damaged: fetch past the browser's cache */
    this.damaged = new Set();
    this.frames = new FrameLoader(
      c.frames.count,
      (k, attempt) => engine.load(this.ids[k], this.damaged.has(k) ? `again=${attempt}` : undefined),
      {
        loaded: (k) => events.frame(this, k),
        complete: () => events.complete(this),
        failed: (k, attempt, error) => {
          const { reason, status, damaged } = explain(error);
          if (damaged) this.damaged.add(k);
          events.failed(this, k, attempt, reason, status);
        },
      },
    );
  }

  /** @param {number} first the slice to bring in first */
  start(first) {
    if (this.started) return;
    this.started = true;
    this.frames.start(first);
  }

  /** @param {number} k */
  has(k) {
    return this.frames.done.has(k);
  }

  get complete() {
    return this.frames.complete;
  }

  /** Stops and frees. */
  dispose() {
    this.frames.stop();
    this.engine.release(this.ids);
  }
}

/**
 * The loader rejects with the XMLHttpRequest itself, with an Error from the decoder, or wraps one
 * of them.
 * @param {any} error
 * @returns {{reason: string, status: number, damaged: boolean}}
 */
export function explain(error) {
  const inner = error?.error ?? error;
  const status = inner?.status ?? inner?.request?.status;
  if (typeof status === "number" && status !== 200) {
    const reason = status === 0 ? "no answer" : `HTTP ${status}`;
    return { reason, status, damaged: false };
  }
  return { reason: `damaged: ${inner?.message ?? inner}`.slice(0, 120), status: 200, damaged: true };
}
