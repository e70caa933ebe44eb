/** The list of keys, above everything, closed by any of ?, Escape or its button. */

import { h } from "./dom.js";
import { HELP } from "./keys.js";

export class Help {
  /** @param {() => void} closed @param {typeof HELP} groups */
  constructor(closed, groups = HELP) {
    this.closed = closed;
    this.element = h("dialog", { class: "rv-help", "aria-label": "Keys" },
      h("div", { class: "rv-help-head" },
        h("h2", {}, "Keys"),
        h("button", { type: "button", class: "rv-button", onclick: () => this.close() }, "Close")),
      h("div", { class: "rv-help-grid" },
        ...groups.map((group) =>
          h("section", {},
            h("h3", {}, group.title),
            h("dl", {}, ...group.rows.flatMap(([keys, what]) => [
              h("dt", {}, ...keys.map((k) => (k === "…" ? "…" : h("kbd", {}, k)))),
              h("dd", {}, what),
            ]))))),
      h("p", { class: "rv-dim" },
        "Mouse: left button the chosen tool, middle button shifts, right button zooms, wheel scrolls."));
    this.element.addEventListener("close", () => this.closed());
  }

  get open() {
    return this.element.open;
  }

  toggle() {
    if (this.open) this.close();
    else this.element.showModal();
  }

  close() {
    this.element.close();
  }
}
