/** A card in the middle of the picture: loading, waiting, finished, or a failure to start. */

import { h, setHidden } from "./dom.js";

export class Notice {
  constructor() {
    this.element = h("div", { class: "rv-notice", role: "status", hidden: true });
    this.key = "";
  }

  /**
   * @param {string} title @param {string} text
   * @param {{label: string, href?: string, act?: () => void}[]} [actions]
   * @param {boolean} [busy]
   */
  show(title, text, actions = [], busy = false) {
    setHidden(this.element, false);
    const key = JSON.stringify([title, text]);
    if (key === this.key) return; // do not take the focus off a button that is in use
    this.key = key;
    this.element.replaceChildren(
      h("div", { class: "rv-card" },
        busy ? h("div", { class: "rv-spinner", "aria-hidden": "true" }) : "",
        title ? h("h2", {}, title) : "",
        h("p", {}, text),
        h("div", { class: "rv-card-actions" },
          ...actions.map(({ label, href, act }) =>
            href
              ? h("a", { class: "rv-button", href }, label)
              : h("button", { type: "button", class: "rv-button", onclick: act }, label)))));
  }

  hide() {
    this.key = "";
    setHidden(this.element, true);
  }
}
