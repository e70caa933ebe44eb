/** The axial plane: Cornerstone's stack viewport behind the same face as the other two planes. */

import { Overlay } from "./overlay.js";
import { h } from "./dom.js";
import { Engine } from "./cornerstone.js";

/** @import {Point, Voxel, Plane} from "./types.js" */
/** @import {Scene} from "./scene.js" */

export class StackPane {
  /**
   * @param {Scene} scene
   * @param {"auto"|"cpu"|"gpu"} rendering
   * @param {{rendered: () => void, contextLost: () => void}} events
   */
  constructor(scene, rendering, events) {
    /** @type {Plane} */
    this.plane = "axial";
    this.scene = scene;
    this.screen = h("div", { class: "rv-screen" });
    this.element = h("div", {
      class: "rv-pane rv-axial",
      tabindex: "0",
      // "application": screen readers hand the keys on instead of reading with them
      role: "application",
      "aria-roledescription": "CT image",
      "aria-label": "Axial plane",
    }, this.screen);
    this.overlay = new Overlay(this);
    this.element.append(this.overlay.element);
    this.rendering = rendering;
    this.events = events;
    /** @type {Engine|null} */
    this.engine = null;
  }

  /** The element must be in the page, with a size. */
  open() {
    this.engine = new Engine(this.screen, this.rendering, {
      rendered: () => {
        this.overlay.draw();
        this.events.rendered();
      },
      contextLost: this.events.contextLost,
    });
    return this.engine;
  }

  get slice() {
    return Math.round(this.scene.cursor[2]);
  }

  /** Shows the scene as it is now: the slice when it is in, else a note instead of a stale image. */
  update() {
    const { scene, engine } = this;
    if (!engine || !scene.ids.length) return;
    const k = this.slice;
    const here = scene.volume.slice(k) !== null;
    this.screen.classList.toggle("rv-absent", !here);
    if (here) engine.setSlice(k);
    this.overlay.draw();
  }

  window() {
    this.engine?.setWindow(this.scene.voi);
  }

  /** @param {Voxel} index @returns {Point} */
  toCanvas(index) {
    return this.engine?.toCanvas(index[0], index[1]) ?? [0, 0];
  }

  /** @param {Point} at @returns {Voxel} */
  toIndex(at) {
    const [i, j] = this.engine?.toImage(at[0], at[1]) ?? [0, 0];
    return [i, j, this.slice];
  }

  /** @param {number} factor @param {Point} at */
  zoomBy(factor, at) {
    this.engine?.zoomBy(factor, at);
    this.overlay.draw();
  }

  /** @param {number} dx @param {number} dy */
  panBy(dx, dy) {
    this.engine?.panBy(dx, dy);
    this.overlay.draw();
  }

  get zoom() {
    return this.engine?.zoom ?? 1;
  }

  fit() {
    if (this.scene.ids.length) this.engine?.fit();
    this.overlay.draw();
  }

  resize() {
    this.engine?.resize();
    this.overlay.draw();
  }
}
