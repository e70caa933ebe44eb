/** The column of buttons beside the picture. Everything in it also has a key. */

import { h, setHidden } from "./dom.js";

/** @import {Viewer} from "./viewer.js" */

/**
 * @param {Viewer} viewer
 * @param {(name: string, arg?: number) => void} command
 */
export class Toolbar {
  /**
   * @param {Viewer} viewer @param {(name: string, arg?: number) => void} command
   * @param {{label: string, key: string, name: string, title: string}[]} [extras]
   */
  constructor(viewer, command, extras = []) {
    this.viewer = viewer;
    this.command = command;
    const { tools } = viewer.config;
    this.windows = h("div", { class: "rv-tools", role: "group", "aria-label": "Windows" });
    this.buttons = {
      window: this.#button("Window", "W", "tool.window", "Left button sets the window"),
      scroll: this.#button("Scroll", "S", "tool.scroll", "Left button scrolls"),
      length: this.#button("Length", "L", "tool.length", "Measure a length"),
      planes: this.#button("3 planes", "M", "planes", "Three planes with a crosshair"),
      marker: this.#button("Lesion box", "H", "marker", "Hide or show the lesion box"),
      jump: this.#button("To lesion", "J", "jump", "Jump to the lesion"),
      invert: this.#button("Invert", "I", "invert", "Invert grey scale"),
      reset: this.#button("Reset", "R", "reset", "Reset zoom, window and place"),
      help: this.#button("Keys", "?", "help", "All keys"),
    };
    setHidden(this.buttons.length, !tools.length);
    setHidden(this.buttons.planes, !tools.mpr);
    this.extras = Object.fromEntries(extras.map((e) => [e.name, this.#button(e.label, e.key, e.name, e.title)]));
    const b = this.buttons;
    this.element = h("nav", { class: "rv-toolbar", "aria-label": "Image tools" },
      h("div", { class: "rv-tools", role: "group", "aria-label": "Left mouse button" }, b.window, b.scroll, b.length),
      h("div", { class: "rv-tools", role: "group", "aria-label": "Picture" }, b.planes, b.marker, ...Object.values(this.extras), b.jump, b.invert, b.reset),
      this.windows,
      h("div", { class: "rv-tools rv-tools-end" }, b.help));
    this.shown = "";
  }

  /** @param {string} label @param {string} key @param {string} name @param {string} title @param {number} [arg] */
  #button(label, key, name, title, arg) {
    return h("button", {
      type: "button",
      class: "rv-tool",
      title,
      "aria-keyshortcuts": key.replace("⇧", "Shift+"),
      onclick: (/** @type {MouseEvent} */ event) => {
        this.command(name, arg);
        // A mouse click must not leave the focus here: the next Enter is meant for the answer.
        if (event.detail > 0) this.viewer.focus();
      },
    }, h("span", { class: "rv-tool-label" }, label), h("kbd", {}, key));
  }

  /** Shows the present state. */
  update() {
    const { scene, tool } = this.viewer;
    const presets = scene.c?.windows ?? [];
    const names = JSON.stringify(presets);
    if (names !== this.shown) {
      this.shown = names;
      this.windows.replaceChildren(
        ...presets.slice(0, 9).map((p, i) =>
          this.#button(p.name, `⇧${i + 1}`, "preset", `${p.name}: center ${p.center}, width ${p.width}`, i + 1)),
      );
    }
    const press = (/** @type {Element} */ b, /** @type {boolean} */ on) => b.setAttribute("aria-pressed", String(on));
    press(this.buttons.window, tool === "window");
    press(this.buttons.scroll, tool === "scroll");
    press(this.buttons.length, tool === "length");
    press(this.buttons.planes, scene.threePlanes);
    press(this.buttons.invert, scene.voi.invert);
    press(this.buttons.marker, scene.showMarker && scene.box !== null);
    setHidden(this.buttons.marker, scene.box === null);
    [...this.windows.children].forEach((b, i) =>
      press(b, presets[i].center === scene.voi.center && presets[i].width === scene.voi.width));
  }
}
