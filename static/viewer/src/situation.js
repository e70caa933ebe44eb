/** How things stand, in words: the card over the picture and the line under the form. */

/** @import {Config, Worklist} from "./types.js" */
/** @import {AnswerQueue} from "./queue.js" */
/** @import {Store} from "./store.js" */
/** @import {Panel, Tone} from "./panel.js" */
/** @import {Notice} from "./notice.js" */

/** @type {Record<string, [string, string]>} */
const ENDINGS = {
  done: ["All cases are read", "Thank you. Every answer is saved."],
  practice_done: ["Practice is over", "Go on when you are ready."],
  break: ["Time for a break", "Your place is kept."],
  paused: ["The study is paused", "Your place and your answers are kept. The coordinator will reopen it."],
  consent: ["Your consent is needed first", "Please go back and read the instructions."],
};

export class Situation {
  /**
   * @param {object} parts
   * @param {Config} parts.config @param {Panel} parts.panel @param {Notice} parts.notice
   * @param {AnswerQueue} parts.queue @param {Store} parts.store
   */
  constructor({ config, panel, notice, queue, store }) {
    this.config = config;
    this.panel = panel;
    this.notice = notice;
    this.queue = queue;
    this.store = store;
    this.signedOut = false;
  }

  /** Do answers wait for something that only the reader or the network can change? */
  get blocked() {
    return this.signedOut || this.queue.state === "waiting" || this.queue.state === "signin";
  }

  /** @param {string} text */
  busy(text) {
    this.notice.show("", text, [], true);
  }

  offline() {
    this.notice.show("No connection", "Trying again …", [], true);
  }

  /** @param {string} why */
  closed(why) {
    this.notice.show("This reading is not open to you now", why, [
      { label: "Back", href: this.config.exitUrl },
    ]);
  }

  signIn() {
    this.notice.show("You are signed out",
      "Your answers are safe in this browser. Sign in, and you are back at the same place.",
      [{ label: "Sign in again", href: this.config.signInUrl || location.href }]);
  }

  /** No case left to read before the answers have gone out. */
  waiting() {
    if (this.signedOut || this.queue.state === "signin") {
      this.signIn();
      return;
    }
    this.notice.show("Waiting for the connection",
      `${count(this.queue.unsent)} kept in this browser, to be sent as soon as the server answers. ` +
      "Then the next case opens by itself. You may also close this page and come back on this computer.",
      [{ label: "Try now", act: () => this.queue.kick() }], true);
  }

  /** The server has no case now. @param {Worklist} worklist @param {() => void} again */
  ended(worklist, again) {
    const { queue } = this;
    const [title, text] = ENDINGS[worklist.state] ?? ["Nothing to read now", "Please come back later."];
    const kept = queue.unsent
      ? ` ${count(queue.unsent)} could not be saved yet (${queue.stuck[0].stuck}) and stay in this browser; ` +
        "please tell the study coordinator."
      : "";
    this.notice.show(title, text + kept, [
      { label: "Try again", act: again },
      { label: "Back to the overview", href: worklist.redirect ?? this.config.exitUrl },
    ]);
  }

  /** One line under the form. */
  line() {
    const [text, tone, signIn] = this.#words();
    this.panel.connected(text, tone, signIn);
  }

  /** The reader wants to leave while answers are only here. */
  askBeforeLeaving() {
    this.panel.connected(
      `${count(this.queue.unsent)} not sent yet, kept on this computer only. Press Pause again to leave anyway.`,
      "warn", this.signedOut);
  }

  /** @returns {[string, Tone, boolean]} text, tone, offer to sign in */
  #words() {
    const { queue } = this;
    const answers = count(queue.unsent);
    const kept = this.store.kind === "memory" ? "Do not close this page." : "Kept safely in this browser.";
    if (this.signedOut || queue.state === "signin") {
      return [
        queue.unsent
          ? `You are signed out. ${answers} not sent yet. ${kept}`
          : "You are signed out. Your choice is kept.",
        "warn", true,
      ];
    }
    if (queue.stuck.length) {
      const [first] = queue.stuck;
      return [`${count(queue.stuck.length)} not accepted: ${first.stuck} ${kept} Please tell the coordinator.`, "warn", false];
    }
    if (queue.state === "waiting") {
      return [`No connection. ${answers} not sent yet, trying again by itself. ${kept}`, "warn", false];
    }
    return queue.unsent ? [`Sending ${answers} …`, "busy", false] : ["All answers are saved", "quiet", false];
  }
}

/** @param {number} n */
export function count(n) {
  return `${n} ${n === 1 ? "answer" : "answers"}`;
}
