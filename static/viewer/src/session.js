/**
 * The reading session: which case is on the screen, which comes next, and what becomes of answers.
 *
 * The server hands out the current case and one ahead. The one ahead is loaded as soon as the
 * current one is complete, so that "next" is a swap in place; without a network it can still be
 * read and answered, and then the page waits.
 */

import { CaseLoad } from "./case-load.js";
import { Drafts } from "./drafts.js";
import { newId } from "./ids.js";
import { CaseRecord } from "./record.js";
import { Situation } from "./situation.js";
import { CaseClock } from "./timing.js";

/** @import {Answer, Case, Config, Draft, Worklist} from "./types.js" */
/** @import {Api, ApiError} from "./api.js" */
/** @import {AnswerQueue} from "./queue.js" */
/** @import {Store} from "./store.js" */
/** @import {Viewer} from "./viewer.js" */
/** @import {Form} from "./form.js" */
/** @import {Panel} from "./panel.js" */
/** @import {Notice} from "./notice.js" */
/** @import {Engine} from "./cornerstone.js" */

const DRAFT_PAUSE_MS = 700;
const DRAFT_EVERY_MS = 60_000;
const ASK_AGAIN_MS = 4_000;
const REFRESH_PAUSE_MS = 20_000;

export class Session {
  /**
   * @param {object} parts
   * @param {Config} parts.config @param {Api} parts.api @param {Store} parts.store
   * @param {AnswerQueue} parts.queue @param {Viewer} parts.viewer @param {Form} parts.form
   * @param {Panel} parts.panel @param {Notice} parts.notice @param {Engine} parts.engine
   * @param {{trueRatio: number}} parts.screen
   */
  constructor(parts) {
    const { config, api, store, queue, viewer, form, panel, notice, engine, screen } = parts;
    this.config = config;
    this.api = api;
    this.store = store;
    this.queue = queue;
    this.viewer = viewer;
    this.form = form;
    this.panel = panel;
    this.engine = engine;
    this.screen = screen;
    this.situation = new Situation({ config, panel, notice, queue, store });
    this.drafts = new Drafts(api, store);
    this.notice = notice;
    /** @type {CaseLoad|null} */
    this.active = null;
    /** @type {CaseLoad|null} */
    this.ahead = null;
    /** @type {Worklist|null} */
    this.worklist = null;
    this.clock = new CaseClock(() => performance.now());
    this.record = new CaseRecord();
    this.since = 0;
    this.draftTimer = 0;
    this.refreshed = -Infinity;
    this.asking = false;
    this.leaving = false;
    /** @type {number|null} ms from the key to the picture, of the last change of case */
    this.swapMs = null;
    /** @type {number|null} ms from opening the page to the first picture */
    this.openedMs = null;
    this.confirmedAt = 0;
    this.confirming = false;
    this.pauseAsked = false;
    window.setInterval(() => void this.saveDraft(), DRAFT_EVERY_MS);
  }

  async begin() {
    await this.queue.open();
    this.queue.kick();
    await this.ask();
  }

  // ---- the worklist -------------------------------------------------------------------------

  /** Asks the server what to read, for as long as it takes. */
  async ask() {
    if (this.asking) return;
    this.asking = true;
    try {
      for (;;) {
        try {
          const worklist = await this.api.worklist();
          this.situation.signedOut = false;
          this.asking = false;
          await this.take(worklist);
          return;
        } catch (thrown) {
          const error = /** @type {ApiError} */ (thrown);
          if (!error.kind) throw thrown;
          this.#cannotAsk(error);
          if (error.kind === "signin" || error.kind === "refused" || error.kind === "invalid") return;
          await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
        }
      }
    } finally {
      this.asking = false;
      this.connection();
    }
  }

  /** @param {ApiError} error */
  #cannotAsk(error) {
    if (error.kind === "signin") this.situation.signedOut = true;
    this.connection();
    if (this.active) return;
    if (error.kind === "signin") this.situation.signIn();
    else if (error.kind === "refused" || error.kind === "invalid") this.situation.closed(error.message);
    else this.situation.offline();
  }

  /** @param {Worklist} worklist */
  async take(worklist) {
    this.worklist = worklist;
    const open = [worklist.current, worklist.ahead].filter((c) => c !== null && c !== undefined);
    const left = open.filter((c) => !this.queue.has(c.token));
    const [first, second] = left;
    if (!first) {
      await this.#nothingLeft(worklist);
      return;
    }
    if (this.active?.c.token !== first.token) {
      await this.#activate(this.ahead?.c.token === first.token ? this.#swapIn() : this.#load(first));
    } else if (this.active.expired && this.active.c.frames.url !== first.frames.url) {
      this.#reload(first);
    }
    this.#prepare(second ?? null);
  }

  /** @param {Worklist} worklist */
  async #nothingLeft(worklist) {
    this.#drop();
    const { queue } = this;
    if (queue.unsent > queue.stuck.length) this.situation.waiting();
    else if (worklist.redirect && !queue.unsent) {
      this.leaving = true;
      location.assign(worklist.redirect);
    } else {
      this.situation.ended(worklist, () => {
        queue.unstick();
        void this.ask();
      });
    }
  }

  // ---- cases --------------------------------------------------------------------------------

  /** @param {Case} c */
  #load(c) {
    const load = new CaseLoad(c, this.engine, {
      frame: (from, k) => this.#frame(from, k),
      complete: (from) => this.#complete(from),
      failed: (from, k, attempt, reason, status) => this.#failed(from, k, attempt, reason, status),
    });
    return load;
  }

  #swapIn() {
    const load = /** @type {CaseLoad} */ (this.ahead);
    this.ahead = null;
    return load;
  }

  #drop() {
    this.active?.dispose();
    this.active = null;
    this.clock.stop();
    this.form.reset(null);
    this.form.lock(true);
    this.panel.slices(0, 0);
    this.panel.troubles("");
  }

  /** @param {CaseLoad} load */
  async #activate(load) {
    this.#drop();
    this.active = load;
    this.since = performance.now();
    const { c } = load;
    const draft = await this.drafts.of(c);
    if (this.active !== load) return;
    this.clock = new CaseClock(() => performance.now(), draft?.clock);
    this.clock.setVisible(document.visibilityState === "visible");
    this.record = new CaseRecord(draft?.record);
    this.panel.case(c);
    this.panel.troubles("");
    this.form.reset(draft);
    this.viewer.open(c, load.ids);
    load.start(this.viewer.axial.slice);
    this.#progress();
    if (load.has(this.viewer.axial.slice)) await this.#show(load);
    else this.situation.busy("Loading the first slice …");
  }

  /** The signed addresses of the frames had run out: the same case, at the same place, anew. @param {Case} c */
  #reload(c) {
    this.active?.dispose();
    const load = this.#load(c);
    this.active = load;
    this.viewer.reopen(c, load.ids);
    load.start(this.viewer.axial.slice);
    this.#progress();
  }

  /** @param {CaseLoad} load */
  async #show(load) {
    await this.viewer.show();
    if (this.active !== load) return;
    this.notice.hide();
    this.clock.start();
    this.record.started(new Date().toISOString());
    this.viewer.focus();
    const { c } = load;
    this.panel.say(`${c.phase === "practice" ? "Practice case" : "Case"} ${c.position} of ${c.total}`);
  }

  /** Loads the case ahead, once the current one is complete. @param {Case|null} c */
  #prepare(c) {
    const stale = this.ahead?.expired && this.ahead.c.frames.url !== c?.frames.url;
    if (this.ahead && (stale || this.ahead.c.token !== c?.token)) {
      this.ahead.dispose();
      this.ahead = null;
    }
    if (c && !this.ahead && c.token !== this.active?.c.token) this.ahead = this.#load(c);
    if (this.active?.complete) this.#startAhead();
  }

  #startAhead() {
    this.ahead?.start(this.ahead.c.startSlice);
  }

  // ---- frames -------------------------------------------------------------------------------

  /** @param {CaseLoad} load @param {number} k */
  #frame(load, k) {
    if (load !== this.active) return;
    if (k === this.viewer.axial.slice && !this.viewer.shown) void this.#show(load);
    this.viewer.frameIn(k);
    this.#progress();
  }

  /** @param {CaseLoad} load */
  #complete(load) {
    if (load !== this.active) return;
    this.#progress();
    this.#startAhead();
  }

  /**
   * @param {CaseLoad} load @param {number} k @param {number} attempt @param {string} reason
   * @param {number} status
   */
  #failed(load, k, attempt, reason, status) {
    if (load === this.active) {
      this.record.frameError(k, attempt, reason);
      this.#progress();
    }
    // Signed out, or the signed address has run out: the worklist tells which, and has a new one.
    if ([401, 403, 404, 410].includes(status)) {
      load.expired = true;
      this.#refresh();
    }
  }

  #refresh() {
    if (performance.now() - this.refreshed < REFRESH_PAUSE_MS) return;
    this.refreshed = performance.now();
    void this.ask();
  }

  retryFrames() {
    this.active?.frames.retryNow();
    this.ahead?.frames.retryNow();
    if (this.active?.expired) this.#refresh();
  }

  /** The reader goes to a slice. @param {number} k */
  want(k) {
    this.active?.frames.focus(k);
  }

  #progress() {
    const load = this.active;
    if (!load) return;
    const done = load.frames.done.size;
    const { count } = load.c.frames;
    this.panel.slices(done, count);
    // complete before it was opened: it came as the case ahead
    if (load.complete) this.record.loadMs ??= Math.round(performance.now() - this.since);
    this.form.lock(!load.complete, `Opens when all slices are in (${done} of ${count}).`);
    const bad = load.frames.troubled;
    this.panel.troubles(bad.length
      ? `${bad.length === 1 ? "One slice does" : `${bad.length} slices do`} not load. Trying again by itself.`
      : "");
  }

  // ---- what the picture reports -------------------------------------------------------------

  /** A slice is on the screen. @param {number} k */
  seen(k) {
    if (!this.active) return;
    this.record.slice(k);
    this.openedMs ??= performance.now();
    if (this.record.firstImageMs === null) {
      this.record.firstImageMs = Math.round(performance.now() - this.since);
    }
    if (this.confirmedAt) {
      this.swapMs = performance.now() - this.confirmedAt;
      this.confirmedAt = 0;
    }
  }

  chose() {
    this.record.chose(this.clock.save().elapsed_ms);
    this.panel.say(`${this.form.label}. Enter saves.`);
  }

  // ---- answers ------------------------------------------------------------------------------

  /** Final: queue the answer and go on, without waiting for the server. */
  async confirm() {
    const load = this.active;
    const { rating, comment, cues } = this.form.values();
    if (!load || !load.complete || !this.viewer.shown || this.confirming) return;
    if (rating === null) {
      this.panel.say("Choose an answer first.");
      return;
    }
    this.confirming = true;
    this.confirmedAt = performance.now();
    try {
      this.viewer.settled();
      /** @type {Answer} */
      const answer = {
        client_uuid: newId(),
        token: load.c.token,
        rating,
        comment,
        cues,
        client: this.#observed(),
      };
      window.clearTimeout(this.draftTimer);
      const kept = await this.queue.add(answer, Date.now());
      this.drafts.drop(load.c.token);
      if (!kept) this.panel.say("This browser cannot store answers; please wait until it is sent.");
      await this.#next();
    } finally {
      this.confirming = false;
    }
  }

  async #next() {
    if (this.ahead) {
      await this.#activate(this.#swapIn());
      return;
    }
    this.#drop();
    // The reply to the answer brings the next case; while it is under way, say so.
    if (this.situation.blocked) this.situation.waiting();
    else this.situation.busy("Saving …");
  }

  /** The queue delivered an answer. @param {Worklist|null} worklist */
  async stored(worklist) {
    this.situation.signedOut = false;
    if (worklist) await this.take(worklist);
    else await this.ask();
  }

  /** The case had an answer already, given in another window or on another computer. */
  async conflicted() {
    this.panel.say("This case had an answer already; that one stays.");
    await this.ask();
  }

  #observed() {
    const saved = this.record.save();
    const clock = this.clock.save();
    const canvas = this.viewer.axial.screen.querySelector("canvas");
    return {
      ...saved,
      ...clock,
      submitted_at: new Date().toISOString(),
      backend: this.engine.backend,
      backend_reason: this.engine.reason,
      renderer: this.engine.renderer,
      user_agent: navigator.userAgent,
      screen: {
        width: window.screen.width,
        height: window.screen.height,
        dpr: this.screen.trueRatio,
        canvas: [canvas?.width ?? 0, canvas?.height ?? 0],
      },
    };
  }

  // ---- drafts -------------------------------------------------------------------------------

  /** Something the reader typed or chose is new: keep it here now, on the server soon. */
  touched() {
    window.clearTimeout(this.draftTimer);
    this.draftTimer = window.setTimeout(() => void this.saveDraft(), DRAFT_PAUSE_MS);
  }

  /** @returns {Draft} */
  #draft() {
    return {
      ...this.form.values(),
      at: new Date().toISOString(),
      record: this.record.save(),
      clock: this.clock.save(),
    };
  }

  /** @param {boolean} [leaving] */
  async saveDraft(leaving = false) {
    const load = this.active;
    if (!load || !this.viewer.shown || this.leaving || this.confirming) return;
    if (await this.drafts.save(load.c.token, this.#draft(), leaving)) return;
    this.situation.signedOut = true;
    this.connection();
  }

  // ---- pause, connection --------------------------------------------------------------------

  async pause() {
    if (this.queue.unsent && !this.pauseAsked) {
      this.pauseAsked = true;
      this.situation.askBeforeLeaving();
      return;
    }
    await Promise.race([this.saveDraft(true), new Promise((resolve) => setTimeout(resolve, 1500))]);
    this.leaving = true;
    location.assign(this.config.pauseUrl);
  }

  /** Says anew how things stand with the server. */
  connection() {
    if (!this.queue.unsent) this.pauseAsked = false;
    this.situation.line();
    if (!this.active && this.worklist && this.queue.unsent && this.situation.blocked) this.situation.waiting();
  }
}
