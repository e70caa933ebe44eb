/** The column beside a case under review: what it is, and what each reader took it for. */

import { h } from "./dom.js";

/** @import {Given, Review} from "./types.js" */

export class ReviewPanel {
  /** @param {Review} review */
  constructor(review) {
    this.loading = h("p", { class: "rv-dim rv-review-load" });
    this.live = h("p", { class: "rv-live", "aria-live": "polite", role: "status" });
    this.element = h("aside", { class: "rv-panel rv-review", "aria-label": "Truth and answers" },
      h("header", { class: "rv-panel-head" },
        h("div", {},
          h("p", { class: "rv-progress-text" }, review.name),
          h("p", { class: "rv-dim" }, review.place)),
        h("a", { class: "rv-button", href: review.listUrl, "aria-keyshortcuts": "Escape" }, "All cases")),
      h("div", { class: "rv-review-body" },
        h("section", { "aria-labelledby": "rv-truth" },
          h("p", { class: "rv-dim rv-eyebrow" }, "The truth"),
          h("h1", { id: "rv-truth", class: review.made ? "rv-truth rv-made" : "rv-truth" }, review.truth),
          h("dl", { class: "rv-facts" }, ...review.facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
          review.outline ? null : h("p", { class: "rv-dim" }, "No outline: the lesion is no longer in the library.")),
        h("section", { "aria-labelledby": "rv-answers" },
          h("h2", { id: "rv-answers" }, "What readers answered"),
          h("p", {}, review.summary),
          review.ratings.length ? answers(review) : null)),
      h("footer", { class: "rv-panel-foot" },
        h("nav", { class: "rv-review-steps", "aria-label": "Cases" },
          step("Previous", "P", review.previousUrl), step("Next", "N", review.nextUrl)),
        this.loading, this.live));
  }
}

/** @param {string} label @param {string} key @param {string} href */
function step(label, key, href) {
  const inner = [h("span", {}, label), h("kbd", {}, key)];
  return href
    ? h("a", { class: "rv-button", href, "aria-keyshortcuts": key }, ...inner)
    : h("span", { class: "rv-button rv-off", "aria-disabled": "true" }, ...inner);
}

/** @param {Review} review */
function answers({ ratings, scale }) {
  return h("table", { class: "rv-answers" },
    h("thead", {}, h("tr", {},
      h("th", { scope: "col" }, "Reader"),
      h("th", { scope: "col", colspan: 2 }, "Answer"),
      h("th", { scope: "col", class: "rv-number" }, "Time"))),
    h("tbody", {}, ...ratings.map((given) => row(given, scale.length))));
}

/** @param {Given} given @param {number} steps */
function row(given, steps) {
  const dots = Array.from({ length: steps }, (_, i) =>
    h("i", { class: i + 1 === given.rating ? "rv-dot rv-on" : "rv-dot" }));
  return h("tr", { class: given.wrong ? "rv-wrong" : "" },
    h("th", { scope: "row" }, given.reader),
    h("td", {},
      h("span", { class: "rv-dots", "aria-hidden": "true" }, ...dots),
      h("span", {}, given.label, given.repeat ? h("small", { class: "rv-dim" }, " again") : null),
      given.note ? h("p", { class: "rv-given-note rv-dim" }, given.note) : null),
    h("td", { class: "rv-mark" }, given.wrong ? "misled" : "right"),
    h("td", { class: "rv-number" }, given.seconds === null ? "–" : `${given.seconds.toFixed(0)} s`));
}
