/**
 * How long a case was open, and how long the reader was at it.
 *
 * Elapsed time is monotonic (performance.now, not the wall clock). Active time leaves out a hidden
 * tab, and whatever goes beyond `IDLE_MS` after the last key, wheel or pointer movement: somebody
 * who looks at an image for a minute without touching anything is still reading, after that not.
 */

export const IDLE_MS = 60_000;

export class CaseClock {
  /**
   * @param {() => number} now milliseconds, never running backwards
   * @param {Partial<ReturnType<CaseClock["save"]>> | null} [earlier] sums of earlier sittings
   */
  constructor(now, earlier) {
    this.now = now;
    this.running = false;
    this.visible = true;
    this.elapsed = finite(earlier?.elapsed_ms);
    this.active = finite(earlier?.active_ms);
    this.hidden = finite(earlier?.hidden_ms);
    this.last = 0;
    this.lastActivity = 0;
  }

  /** Starts counting: the first picture of the case is on the screen. */
  start() {
    if (this.running) return;
    this.running = true;
    this.last = this.lastActivity = this.now();
  }

  /** A sign of life: key, wheel, pointer. */
  activity() {
    this.#account();
    this.lastActivity = this.now();
  }

  /** @param {boolean} visible */
  setVisible(visible) {
    this.#account();
    this.visible = visible;
    if (visible) this.lastActivity = this.now();
  }

  stop() {
    this.#account();
    this.running = false;
  }

  /** Whole milliseconds so far, earlier sittings included. */
  save() {
    this.#account();
    return {
      elapsed_ms: Math.round(this.elapsed),
      active_ms: Math.round(this.active),
      hidden_ms: Math.round(this.hidden),
    };
  }

  #account() {
    const now = this.now();
    if (!this.running) return;
    const passed = Math.max(0, now - this.last);
    this.elapsed += passed;
    if (this.visible) {
      const end = Math.min(now, this.lastActivity + IDLE_MS);
      this.active += Math.max(0, end - this.last);
    } else {
      this.hidden += passed;
    }
    this.last = now;
  }
}

/** @param {unknown} v */
function finite(v) {
  return typeof v === "number" && Number.isFinite(v) && v > 0 ? v : 0;
}
