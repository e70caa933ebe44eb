/** The column beside a volume: what a network found, as a table to step through, and the files. */

import { h, setText } from "./dom.js";

/** @import {Finding, Findings} from "./types.js" */

export class FindingsPanel {
  /** @param {Findings} page @param {(at: number) => void} choose */
  constructor(page, choose) {
    this.page = page;
    this.loading = h("p", { class: "rv-dim rv-findings-load" });
    this.live = h("p", { class: "rv-live", "aria-live": "polite", role: "status" });
    this.rows = page.findings.map((finding, at) => row(finding, () => choose(at)));
    this.element = h("aside", { class: "rv-panel rv-findings", "aria-label": "Findings" },
      h("header", { class: "rv-panel-head" },
        h("div", {},
          h("p", { class: "rv-progress-text" }, page.name),
          h("p", { class: "rv-dim" }, page.place)),
        h("a", { class: "rv-button", href: page.listUrl, "aria-keyshortcuts": "Escape" }, "All volumes")),
      h("div", { class: "rv-findings-body" },
        page.findings.length ? this.#table() : h("section", {},
          h("h1", {}, "Nothing was found"),
          h("p", { class: "rv-dim" }, "No voxel of this volume reached the probability that was asked for.")),
        h("section", { "aria-labelledby": "rv-files" },
          h("h2", { id: "rv-files" }, "Files"),
          h("ul", { class: "rv-files" }, ...page.downloads.map(([words, href]) => h("li", {}, h("a", { href }, words))))),
        h("section", { class: "rv-dim" },
          h("p", { title: `SHA-256 ${page.sha256}` }, `AI result of ${page.network}`),
          h("p", {}, "For research: not a diagnosis, and not checked by a radiologist."))),
      h("footer", { class: "rv-panel-foot" },
        page.findings.length > 1 ? h("nav", { class: "rv-findings-steps", "aria-label": "Findings" },
          button("Previous", "P", () => choose(this.at - 1)), button("Next", "N", () => choose(this.at + 1))) : null,
        page.previousUrl || page.nextUrl ? h("nav", { class: "rv-findings-steps", "aria-label": "Volumes" },
          link("Volume before", "⇧P", page.previousUrl), link("Volume after", "⇧N", page.nextUrl)) : null,
        this.loading, this.live));
    this.at = 0;
  }

  #table() {
    const { findings, left } = this.page;
    return h("section", { "aria-labelledby": "rv-found" },
      h("h1", { id: "rv-found" }, findings.length === 1 ? "1 finding" : `${findings.length + left} findings`),
      h("table", { class: "rv-found" },
        h("thead", {}, h("tr", {},
          h("th", { scope: "col", class: "rv-number" }, "No."),
          h("th", { scope: "col" }, "Organ"),
          h("th", { scope: "col", class: "rv-number" }, "mm"),
          h("th", { scope: "col", class: "rv-number" }, "ml"),
          h("th", { scope: "col", class: "rv-number", title: "Largest probability inside" }, "Prob."))),
        h("tbody", {}, ...this.rows)),
      left ? h("p", { class: "rv-dim" }, `${left} smaller ones are in the table file only.`) : null);
  }

  /** Marks the finding that is shown. @param {number} at */
  show(at) {
    this.rows[this.at]?.removeAttribute("aria-current");
    this.at = at;
    const now = this.rows[at];
    now.setAttribute("aria-current", "true");
    now.scrollIntoView({ block: "nearest" });
    const f = this.page.findings[at];
    setText(this.live, `Finding ${f.number}: ${f.organ}, ${f.diameter} mm, center ${f.center} mm (L, P, S)`);
  }
}

/** @param {Finding} finding @param {() => void} choose */
function row(finding, choose) {
  const { number, organ, diameter, volume, probability, center } = finding;
  return h("tr", { onclick: choose, title: `Center ${center} mm (L, P, S)` },
    h("th", { scope: "row", class: "rv-number" },
      h("button", { type: "button", class: "rv-found-go", "aria-label": `Show finding ${number}` }, String(number))),
    h("td", {}, organ),
    h("td", { class: "rv-number" }, diameter),
    h("td", { class: "rv-number" }, volume),
    h("td", { class: "rv-number" }, probability));
}

/** @param {string} label @param {string} key @param {() => void} onclick */
function button(label, key, onclick) {
  return h("button", { type: "button", class: "rv-button", "aria-keyshortcuts": key, onclick },
    h("span", {}, label), h("kbd", {}, key));
}

/** @param {string} label @param {string} key @param {string} href */
function link(label, key, href) {
  const inner = [h("span", {}, label), h("kbd", {}, key)];
  return href
    ? h("a", { class: "rv-button", href, "aria-keyshortcuts": key.replace("⇧", "Shift+") }, ...inner)
    : h("span", { class: "rv-button rv-off", "aria-disabled": "true" }, ...inner);
}
