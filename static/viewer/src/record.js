/** What the reader did with one case, for the analysis: slices, windows, zoom, troubles. */

const MAX_WINDOWS = 50;
const MAX_ERRORS = 50;

/**
 * @typedef {object} Saved  times in ms, zoom relative to the fitted image
 * @property {string} started_at
 * @property {number[]} slices_seen       frame indices, sorted
 * @property {{center: number, width: number, name: string|null}[]} windows_used  in order of first use
 * @property {{frame: number, attempt: number, reason: string}[]} frame_errors
 * @property {number} zoom                at the answer
 * @property {number} zoom_max
 * @property {number|null} load_ms        from opening the case to its last slice
 * @property {number|null} first_image_ms
 * @property {number|null} first_choice_ms  elapsed time of the first choice
 * @property {number} choices             how often a rating was chosen
 * @property {boolean} three_planes
 * @property {number} lengths
 * @property {number} context_lost
 * @property {number} resumed             sittings before this one
 */

export class CaseRecord {
  /**
   * @param {Partial<Saved> | null} [earlier] from a draft: the case was resumed
   */
  constructor(earlier) {
    /** @type {Set<number>} */
    this.slices = new Set(earlier?.slices_seen ?? []);
    /** @type {{center: number, width: number, name: string|null}[]} */
    this.windows = [...(earlier?.windows_used ?? [])];
    /** @type {{frame: number, attempt: number, reason: string}[]} */
    this.frameErrors = [...(earlier?.frame_errors ?? [])];
    /** @type {string} */
    this.startedAt = earlier?.started_at ?? "";
    /** @type {number|null} */
    this.firstChoiceMs = earlier?.first_choice_ms ?? null;
    this.choices = earlier?.choices ?? 0;
    this.threePlanes = earlier?.three_planes ?? false;
    this.lengths = earlier?.lengths ?? 0;
    this.contextLost = earlier?.context_lost ?? 0;
    this.resumed = earlier?.started_at ? (earlier.resumed ?? 0) + 1 : 0;
    this.zoom = 1;
    this.zoomMax = earlier?.zoom_max ?? 1;
    /** @type {number|null} */
    this.loadMs = earlier?.load_ms ?? null;
    /** @type {number|null} */
    this.firstImageMs = earlier?.first_image_ms ?? null;
  }

  /** @param {string} iso */
  started(iso) {
    this.startedAt ||= iso;
  }

  /** @param {number} k */
  slice(k) {
    this.slices.add(k);
  }

  /** @param {number} center @param {number} width @param {string|null} name */
  window(center, width, name) {
    const known = this.windows.some((w) => w.center === center && w.width === width);
    if (!known && this.windows.length < MAX_WINDOWS) this.windows.push({ center, width, name });
  }

  /** @param {number} zoom 1 is the fitted image */
  zoomed(zoom) {
    this.zoom = round(zoom);
    this.zoomMax = Math.max(this.zoomMax, this.zoom);
  }

  /** @param {number} frame @param {number} attempt @param {string} reason */
  frameError(frame, attempt, reason) {
    if (this.frameErrors.length < MAX_ERRORS) this.frameErrors.push({ frame, attempt, reason });
  }

  /** @param {number} elapsedMs */
  chose(elapsedMs) {
    this.choices += 1;
    this.firstChoiceMs ??= Math.round(elapsedMs);
  }

  /** @returns {Saved} */
  save() {
    return {
      started_at: this.startedAt,
      slices_seen: [...this.slices].sort((a, b) => a - b),
      windows_used: this.windows,
      frame_errors: this.frameErrors,
      zoom: this.zoom,
      zoom_max: this.zoomMax,
      load_ms: this.loadMs,
      first_image_ms: this.firstImageMs,
      first_choice_ms: this.firstChoiceMs,
      choices: this.choices,
      three_planes: this.threePlanes,
      lengths: this.lengths,
      context_lost: this.contextLost,
      resumed: this.resumed,
    };
  }
}

/** @param {number} v */
function round(v) {
  return Math.round(v * 1000) / 1000;
}
