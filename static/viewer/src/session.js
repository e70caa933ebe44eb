/**
 * The reading session: which case is on the screen, which comes next, and what becomes of answers.
 *
 * The server hands out the current case and one ahead. The one ahead is loaded as soon as the
 * current one is complete, so that "next" is a swap in place; without a network it can still be
 * read and answered, and then the page waits.
 */

import { CaseLoad } from "./case-load.js";
import { CaseRecord } from "./record.js";
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
    this.notice = notice;
    this.engine = engine;
    this.screen = screen;
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
    this.signedOut = false;
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
          this.signedOut = false;
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
    if (error.kind === "signin") this.signedOut = true;
    this.connection();
    if (this.active) return;
    if (error.kind === "signin") {
      this.#askToSignIn();
    } else if (error.kind === "refused" || error.kind === "invalid") {
      this.notice.show("This reading is not open to you now", error.message, [
        { label: "Back", href: this.config.exitUrl },
      ]);
    } else {
      this.notice.show("No connection", "Trying again …", [], true);
    }
  }

  #askToSignIn() {
    this.notice.show("You are signed out",
      "Your answers are safe in this browser. Sign in, and you are back at the same place.",
      [{ label: "Sign in again", href: this.config.signInUrl || location.href }]);
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
    if (queue.unsent > queue.stuck.length) {
      this.#waitForSending();
      return;
    }
    if (worklist.redirect && !queue.unsent) {
      this.leaving = true;
      location.assign(worklist.redirect);
      return;
    }
    const [title, text] = ENDINGS[worklist.state] ?? ["Nothing to read now", "Please come back later."];
    const kept = queue.unsent
      ? ` ${count(queue.unsent)} could not be saved yet (${queue.stuck[0].stuck}) and stay in this browser; ` +
        "please tell the study coordinator."
      : "";
    this.notice.show(title, text + kept, [
      { label: "Try again", act: () => this.#again() },
      { label: "Back to the overview", href: worklist.redirect ?? this.config.exitUrl },
    ]);
  }

  #again() {
    this.queue.unstick();
    void this.ask();
  }

  #waitForSending() {
    if (this.signedOut || this.queue.state === "signin") {
      this.#askToSignIn();
      return;
    }
    this.notice.show("Waiting for the connection",
      `${count(this.queue.unsent)} kept in this browser, to be sent as soon as the server answers. ` +
      "Then the next case opens by itself. You may also close this page and come back on this computer.",
      [{ label: "Try now", act: () => this.queue.kick() }], true);
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
    const draft = await this.#draftOf(c);
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
    else this.notice.show("", "Loading the first slice …", [], true);
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
      void this.store.remove("drafts", load.c.token).catch(() => {});
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
    if (this.queue.state === "waiting" || this.queue.state === "signin") this.#waitForSending();
    else this.notice.show("", "Saving …", [], true);
  }

  /** The queue delivered an answer. @param {string} token @param {Worklist|null} worklist */
  async stored(token, worklist) {
    this.signedOut = false;
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
    const draft = this.#draft();
    const { token } = load.c;
    void this.store.put("drafts", token, draft).catch(() => {});
    try {
      await this.api.saveDraft(token, draft, leaving);
    } catch (thrown) {
      const error = /** @type {ApiError} */ (thrown);
      if (error.kind !== "signin") return;
      this.signedOut = true;
      this.connection();
    }
  }

  /** The newer of the server's draft (another computer) and this browser's. @param {Case} c */
  async #draftOf(c) {
    /** @type {Draft|undefined} */
    let own;
    try {
      own = await this.store.get("drafts", c.token);
    } catch {
      own = undefined;
    }
    if (!c.draft?.at) return own ?? c.draft ?? null;
    return own?.at && own.at > c.draft.at ? own : c.draft;
  }

  // ---- pause, connection --------------------------------------------------------------------

  async pause() {
    if (this.queue.unsent && !this.pauseAsked) {
      this.pauseAsked = true;
      this.panel.connected(
        `${this.queue.unsent} not sent yet, kept on this computer only. Press Pause again to leave anyway.`,
        "warn", this.signedOut);
      return;
    }
    await Promise.race([this.saveDraft(true), new Promise((resolve) => setTimeout(resolve, 1500))]);
    this.leaving = true;
    location.assign(this.config.pauseUrl);
  }

  /** One line on how things stand with the server. */
  connection() {
    const { queue, panel } = this;
    const n = queue.unsent;
    const answers = count(n);
    const kept = this.store.kind === "memory" ? "Do not close this page." : "Kept safely in this browser.";
    if (!n) this.pauseAsked = false;
    if (this.signedOut || queue.state === "signin") {
      panel.connected(n ? `You are signed out. ${answers} not sent yet. ${kept}` : "You are signed out. Your choice is kept.", "warn", true);
    } else if (queue.stuck.length) {
      panel.connected(`${count(queue.stuck.length)} not accepted: ${queue.stuck[0].stuck} ${kept} Please tell the coordinator.`, "warn", false);
    } else if (queue.state === "waiting") {
      panel.connected(`No connection. ${answers} not sent yet, trying again by itself. ${kept}`, "warn", false);
    } else if (n) {
      panel.connected(`Sending ${answers} …`, "busy", false);
    } else {
      panel.connected("All answers are saved", "quiet", false);
    }
    if (!this.active && n && (queue.state === "waiting" || queue.state === "signin") && this.worklist) {
      this.#waitForSending();
    }
  }
}

/** @param {number} n */
function count(n) {
  return `${n} ${n === 1 ? "answer" : "answers"}`;
}

/** @type {Record<string, [string, string]>} */
const ENDINGS = {
  done: ["All cases are read", "Thank you. Every answer is saved."],
  practice_done: ["Practice is over", "Go on when you are ready."],
  break: ["Time for a break", "Your place is kept."],
  paused: ["The study is paused", "Your place and your answers are kept. The coordinator will reopen it."],
  consent: ["Your consent is needed first", "Please go back and read the instructions."],
};

/** A UUID, also where the page is served without TLS and crypto.randomUUID is missing. */
export function newId() {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = [...b].map((v) => v.toString(16).padStart(2, "0")).join("");
  return [8, 12, 16, 20].reduceRight((s, at) => `${s.slice(0, at)}-${s.slice(at)}`, hex);
}
