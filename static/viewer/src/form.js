/**
 * The question and the answer. Two steps: choose (1-6), then Enter makes it final. The real and the
 * synthetic side look exactly alike.
 */

import { h, setHidden, setText } from "./dom.js";

/** @import {Config, Draft} from "./types.js" */

/**
 * @typedef {object} FormEvents
 * @property {() => void} chose     the rating is new
 * @property {() => void} changed   anything a draft must keep is new
 * @property {() => void} confirm
 * @property {() => void} leave     the reader is done typing; the picture takes the keys back
 */

export class Form {
  /** @param {Config} config @param {FormEvents} events */
  constructor(config, events) {
    this.config = config;
    this.events = events;
    /** @type {number|null} */
    this.rating = null;
    this.locked = true;
    this.lockedText = "";

    this.ratings = config.scale.map((step) =>
      h("button", {
        type: "button",
        class: "rv-rating",
        "aria-pressed": "false",
        "aria-keyshortcuts": step.key,
        onclick: (/** @type {MouseEvent} */ event) => {
          this.choose(step.value);
          if (event.detail > 0) this.events.leave();
        },
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          // Enter on the chosen button means what Enter means everywhere: save
          if (event.key !== "Enter" || this.rating !== step.value) return;
          event.preventDefault();
          event.stopPropagation();
          if (!event.repeat) this.events.confirm();
        },
      }, h("kbd", {}, step.key), h("span", {}, step.label)));
    const half = Math.ceil(this.ratings.length / 2);
    this.group = h("div", { class: "rv-scale", role: "group", "aria-label": "Your answer" },
      h("div", { class: "rv-side" }, ...this.ratings.slice(0, half)),
      h("div", { class: "rv-side" }, ...this.ratings.slice(half)));

    this.hint = h("p", { class: "rv-hint" });
    this.save = h("button", {
      type: "button",
      class: "rv-button rv-save",
      disabled: true,
      onclick: () => this.events.confirm(),
    }, h("span", {}, "Save answer"), h("kbd", {}, "Enter"));

    this.tags = config.cues.map((cue) =>
      h("input", { type: "checkbox", value: cue.value, onchange: () => this.events.changed() }));
    this.cues = h("fieldset", { class: "rv-cues" },
      h("legend", {}, "What struck you? ", h("kbd", {}, "T"), h("span", { class: "rv-dim" }, " optional")),
      h("div", { class: "rv-cue-list" },
        ...this.tags.map((tag, i) => h("label", { class: "rv-cue" }, tag, h("span", {}, config.cues[i].label)))));
    this.comment = h("textarea", {
      class: "rv-comment",
      rows: "1",
      maxlength: "2000",
      oninput: () => this.events.changed(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey)) return;
        event.preventDefault();
        event.stopPropagation();
        this.events.leave();
      },
    });
    this.commentBox = h("label", { class: "rv-comment-box" },
      h("span", {}, "Comment ", h("kbd", {}, "C"), h("span", { class: "rv-dim" }, " optional; Enter leaves it")),
      this.comment);
    this.extras = h("div", { class: "rv-extras", hidden: true },
      config.askCues && config.cues.length ? this.cues : null,
      config.allowComment ? this.commentBox : null);

    this.element = h("section", { class: "rv-form", "aria-labelledby": "rv-question" },
      h("h1", { id: "rv-question" }, config.question),
      this.group,
      h("div", { class: "rv-confirm" }, this.save, this.hint),
      this.extras);
  }

  /** A new case. @param {Partial<Draft> | null} draft */
  reset(draft) {
    const known = this.config.scale.some((s) => s.value === draft?.rating);
    this.rating = known ? (draft?.rating ?? null) : null;
    this.comment.value = draft?.comment ?? "";
    for (const tag of this.tags) tag.checked = draft?.cues?.includes(tag.value) ?? false;
    this.draw();
  }

  /** Closed until every slice is in. @param {boolean} locked @param {string} why */
  lock(locked, why = "") {
    if (this.locked === locked && this.lockedText === why) return;
    this.locked = locked;
    this.lockedText = why;
    this.draw();
  }

  /** @param {number} value @returns {boolean} was it taken? */
  choose(value) {
    if (this.locked || !this.config.scale.some((s) => s.value === value)) return false;
    if (this.rating !== value) {
      this.rating = value;
      this.draw();
      this.events.chose();
      this.events.changed();
    }
    return true;
  }

  /** @returns {boolean} was there something to undo? */
  undo() {
    if (this.rating === null) return false;
    this.rating = null;
    this.draw();
    this.events.changed();
    return true;
  }

  get label() {
    return this.config.scale.find((s) => s.value === this.rating)?.label ?? "";
  }

  /** What a draft and an answer carry. */
  values() {
    return {
      rating: this.rating,
      comment: this.comment.value.trim(),
      cues: this.tags.filter((t) => t.checked).map((t) => t.value),
    };
  }

  focusTags() {
    if (!this.extras.hidden && this.config.askCues) this.tags[0]?.focus();
  }

  focusComment() {
    if (!this.extras.hidden && this.config.allowComment) this.comment.focus();
  }

  draw() {
    const chosen = this.rating !== null;
    this.ratings.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(this.config.scale[i].value === this.rating));
      button.disabled = this.locked;
    });
    this.save.disabled = this.locked || !chosen;
    setHidden(this.extras, !chosen);
    const keys = this.config.scale.map((s) => s.key);
    setText(this.hint, this.locked
      ? this.lockedText
      : chosen
        ? "Enter saves for good. Backspace undoes."
        : `Choose with the keys ${keys[0]} to ${keys[keys.length - 1]}.`);
  }
}
