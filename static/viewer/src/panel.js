/** The column beside the picture: where the reader is, the form, and how things stand. */

import { h, setHidden, setText } from "./dom.js";

/** @import {Case, Config} from "./types.js" */
/** @import {Form} from "./form.js" */

/** @typedef {"quiet"|"busy"|"warn"} Tone */

export class Panel {
  /** @param {Config} config @param {Form} form @param {() => void} pause */
  constructor(config, form, pause) {
    this.where = h("p", { class: "rv-progress-text" });
    this.bar = h("progress", { class: "rv-progress", max: "1", value: "0", "aria-label": "Cases answered" });
    this.pause = h("button", {
      type: "button",
      class: "rv-button rv-pause",
      title: "Pause: your place and your choice are kept",
      "aria-keyshortcuts": "Shift+P",
      onclick: pause,
    }, "Pause");
    this.loadText = h("span", {});
    this.loadBar = h("progress", { class: "rv-load-bar", max: "1", value: "0", "aria-label": "Slices loaded" });
    this.load = h("div", { class: "rv-load" }, this.loadText, this.loadBar);
    this.retry = h("button", { type: "button", class: "rv-button", hidden: true }, "Try again now");
    this.trouble = h("p", { class: "rv-trouble", hidden: true });
    this.connection = h("p", { class: "rv-connection" });
    this.signIn = h("a", { class: "rv-button rv-sign-in", hidden: true, href: config.signInUrl || location.href }, "Sign in again");
    this.live = h("p", { class: "rv-live", "aria-live": "polite", role: "status" });
    this.element = h("aside", { class: "rv-panel", "aria-label": "Answer" },
      h("header", { class: "rv-panel-head" },
        h("div", { class: "rv-progress-box" }, this.where, this.bar),
        this.pause),
      form.element,
      h("footer", { class: "rv-panel-foot" },
        this.load, this.trouble, this.retry, this.connection, this.signIn, this.live));
  }

  /** @param {Case} c */
  case(c) {
    const practice = c.phase === "practice" ? "Practice " : "";
    setText(this.where, `${practice}${c.position} of ${c.total}`);
    this.bar.max = c.total;
    this.bar.value = c.position - 1;
    this.bar.setAttribute("aria-valuetext", `${c.position - 1} of ${c.total} answered`);
  }

  /** @param {number} done @param {number} count 0 while no case is open */
  slices(done, count) {
    setHidden(this.load, count === 0);
    const all = done === count;
    setText(this.loadText, all ? `All ${count} slices are in` : `Slices ${done} of ${count}`);
    this.loadBar.max = Math.max(1, count);
    this.loadBar.value = done;
    this.load.classList.toggle("rv-done", all);
  }

  /** @param {string} text empty: all is well */
  troubles(text) {
    setText(this.trouble, text);
    setHidden(this.trouble, !text);
    setHidden(this.retry, !text);
  }

  /** @param {string} text @param {Tone} tone @param {boolean} signIn */
  connected(text, tone, signIn) {
    setText(this.connection, text);
    this.connection.className = `rv-connection rv-${tone}`;
    setHidden(this.signIn, !signIn);
  }

  /** Said aloud by screen readers. @param {string} text */
  say(text) {
    setText(this.live, text);
  }
}
