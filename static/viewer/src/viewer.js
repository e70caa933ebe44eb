/** The picture side of the page: the planes, the tools on them, and the commands that keys give. */

import { h } from "./dom.js";
import { PLANES } from "./mpr.js";
import { PlanePane } from "./plane-pane.js";
import { attachPointer } from "./pointer.js";
import { Scene } from "./scene.js";
import { StackPane } from "./stack-pane.js";
import { clamp, dragWindow, presetName } from "./windowing.js";

/** @import {Case, Config, Point, Voxel} from "./types.js" */
/** @import {Pane} from "./overlay.js" */
/** @import {Tool} from "./pointer.js" */

/**
 * @typedef {object} ViewerEvents
 * @property {(k: number) => void} slice          a slice is on the screen
 * @property {(k: number) => void} want           the reader goes to this slice
 * @property {(center: number, width: number, name: string|null) => void} window
 * @property {(zoom: number) => void} zoom
 * @property {() => void} contextLost
 * @property {() => void} length
 * @property {() => void} planes
 * @property {() => void} changed                 tool, window or layout: the toolbar redraws
 */

const ZOOM_STEP = 1.2;
const PAN_STEP = 40;

export class Viewer {
  /** @param {Config} config @param {ViewerEvents} events */
  constructor(config, events) {
    this.config = config;
    this.events = events;
    this.scene = new Scene();
    this.axial = new StackPane(this.scene, config.rendering, {
      rendered: () => this.#rendered(),
      contextLost: events.contextLost,
    });
    this.coronal = new PlanePane(this.scene, "coronal");
    this.sagittal = new PlanePane(this.scene, "sagittal");
    /** @type {Pane[]} */
    this.panes = [this.axial];
    /** @type {Pane} */
    this.active = this.axial;
    /** @type {Tool} */
    this.tool = "window";
    this.element = h("div", { class: "rv-stage" }, this.axial.element);
    this.shown = false;
    this.refresh = 0;
    for (const pane of [this.axial, this.coronal, this.sagittal]) {
      attachPointer(pane, this);
      pane.element.addEventListener("focus", () => this.activate(pane));
    }
  }

  /** Opens the painter; the element must be in the page. */
  mount() {
    this.engine = this.axial.open();
    let first = true;
    new ResizeObserver(() => {
      if (first) first = false; // fires once on observing
      else this.resize();
    }).observe(this.axial.element);
    return this.engine;
  }

  /** Takes up a case. Nothing is drawn before `show`. @param {Case} c @param {string[]} ids */
  open(c, ids) {
    this.shown = false;
    this.scene.open(c, this.config.guideMarker !== "none");
    this.#bind(ids);
    this.axial.element.setAttribute("aria-label", `Axial plane, ${c.organ}`);
    this.events.changed();
  }

  /** The same case with new addresses: place, window and marks stay. @param {Case} c @param {string[]} ids */
  reopen(c, ids) {
    this.shown = false;
    this.scene.c = c;
    this.#bind(ids);
  }

  /** @param {string[]} ids */
  #bind(ids) {
    this.scene.bind(ids, (id) => this.engine?.pixels(id) ?? null);
  }

  /** Draws the case at its first slice, which must be in. */
  async show() {
    const { scene } = this;
    await this.engine?.show(scene.ids, this.axial.slice, scene.voi);
    this.shown = true;
    this.axial.screen.classList.remove("rv-absent");
    for (const pane of this.panes) if (pane !== this.axial) pane.fit();
    this.#windowSettled();
  }

  /** A frame came in. @param {number} k */
  frameIn(k) {
    if (this.shown && k === this.axial.slice) this.axial.update();
    // the other planes grow while a case loads; four times a second is enough and leaves the
    // processor to the decoder
    if (this.scene.threePlanes && !this.refresh) {
      this.refresh = window.setTimeout(() => {
        this.refresh = 0;
        this.coronal.update();
        this.sagittal.update();
      }, 250);
    }
  }

  #rendered() {
    if (!this.shown || this.scene.volume.slice(this.axial.slice) === null) return;
    if (document.visibilityState === "visible") this.events.slice(this.axial.slice);
  }

  resize() {
    for (const pane of this.panes) pane.resize();
    this.settled();
  }

  // ---- moving -------------------------------------------------------------------------------

  /**
   * Scrolls the active plane; positive is towards the feet, the back or the left, as the wheel
   * turns on a film hung head first.
   * @param {number} steps
   */
  scroll(steps) {
    const { axis } = PLANES[this.active.plane];
    const cursor = /** @type {Voxel} */ ([...this.scene.cursor]);
    cursor[axis] += axis === 2 ? -steps : steps;
    this.moveTo(cursor);
  }

  first() {
    this.scroll(-1e6);
  }

  last() {
    this.scroll(1e6);
  }

  /** @param {Voxel} index */
  moveTo(index) {
    const before = this.axial.slice;
    this.scene.moveTo(index);
    if (this.axial.slice !== before) this.events.want(this.axial.slice);
    for (const pane of this.panes) pane.update();
  }

  /** @param {Pane} pane @param {Point} at */
  pointAt(pane, at) {
    this.moveTo(pane.toIndex(at));
  }

  jump() {
    this.moveTo(this.scene.lesion());
  }

  /** @param {Pane} pane @param {Point|null} at */
  hover(pane, at) {
    if (!this.config.tools.hu || pane !== this.axial) return;
    this.scene.pointer = at && this.shown ? pane.toIndex(at) : null;
    this.axial.overlay.drawHu();
  }

  // ---- window -------------------------------------------------------------------------------

  /** @param {{center?: number, width?: number, invert?: boolean}} change */
  setWindow(change) {
    this.scene.setWindow({ ...this.scene.voi, ...change });
    for (const pane of this.panes) pane.window();
    this.axial.overlay.draw();
    this.events.changed();
  }

  /** @param {number} dx @param {number} dy */
  dragWindow(dx, dy) {
    this.setWindow(dragWindow(this.scene.voi, dx, dy));
  }

  /** @param {number} number from 1 */
  preset(number) {
    const preset = this.scene.c?.windows[number - 1];
    if (!preset) return;
    this.setWindow({ center: preset.center, width: preset.width });
    this.#windowSettled();
  }

  /** @param {number} direction */
  width(direction) {
    const step = Math.max(2, Math.round(this.scene.voi.width * 0.08));
    this.setWindow({ width: clamp(this.scene.voi.width + direction * step, 2, 6000) });
    this.#windowSettled();
  }

  /** @param {number} direction */
  level(direction) {
    const step = Math.max(1, Math.round(this.scene.voi.width * 0.04));
    this.setWindow({ center: clamp(this.scene.voi.center + direction * step, -2000, 4000) });
    this.#windowSettled();
  }

  invert() {
    this.setWindow({ invert: !this.scene.voi.invert });
  }

  #windowSettled() {
    const { center, width } = this.scene.voi;
    this.events.window(center, width, presetName(this.scene.c?.windows ?? [], this.scene.voi));
  }

  /** A drag, pinch or wheel turn is over: what it led to goes into the record. */
  settled() {
    if (!this.shown) return;
    this.#windowSettled();
    this.events.zoom(this.axial.zoom);
  }

  // ---- picture ------------------------------------------------------------------------------

  /** @param {number} direction */
  zoom(direction) {
    const { element } = this.active;
    /** @type {Point} */
    const middle = [element.clientWidth / 2, element.clientHeight / 2];
    this.active.zoomBy(ZOOM_STEP ** direction, middle);
    this.settled();
  }

  /** @param {number} direction */
  panX(direction) {
    this.active.panBy(direction * PAN_STEP, 0);
  }

  /** @param {number} direction */
  panY(direction) {
    this.active.panBy(0, direction * PAN_STEP);
  }

  /** Back to how the case began. */
  reset() {
    for (const pane of this.panes) pane.fit();
    const first = this.scene.c?.windows[0];
    if (first) this.setWindow({ center: first.center, width: first.width, invert: false });
    this.scene.showMarker = true;
    this.moveTo(this.scene.home());
    this.settled();
    this.events.changed();
  }

  marker() {
    if (!this.scene.box) return;
    this.scene.showMarker = !this.scene.showMarker;
    for (const pane of this.panes) pane.overlay.draw();
    this.events.changed();
  }

  // ---- tools and layout ---------------------------------------------------------------------

  /** @param {Tool} tool */
  setTool(tool) {
    if (tool === "length" && !this.config.tools.length) return;
    // the same key again leads back
    this.tool = this.tool === tool ? (this.scene.threePlanes ? "point" : "window") : tool;
    this.events.changed();
  }

  /** @param {import("./scene.js").Length} length */
  addLength(length) {
    this.scene.lengths.push(length);
    this.events.length();
  }

  removeLength() {
    this.scene.lengths.pop();
    for (const pane of this.panes) pane.overlay.draw();
  }

  planes() {
    if (!this.config.tools.mpr) return;
    const { scene } = this;
    scene.threePlanes = !scene.threePlanes;
    this.tool = scene.threePlanes ? "point" : "window";
    this.panes = scene.threePlanes ? [this.axial, this.coronal, this.sagittal] : [this.axial];
    this.element.classList.toggle("rv-three", scene.threePlanes);
    this.element.replaceChildren(...this.panes.map((p) => p.element));
    this.activate(this.axial);
    this.coronal.fit();
    this.sagittal.fit();
    if (scene.threePlanes) this.events.planes();
    this.events.changed();
  }

  nextPlane() {
    const at = this.panes.indexOf(this.active);
    const next = this.panes[(at + 1) % this.panes.length];
    next.element.focus({ preventScroll: true });
    this.activate(next);
  }

  /** @param {Pane} pane */
  activate(pane) {
    this.active = this.panes.includes(pane) ? pane : this.axial;
    for (const p of this.panes) p.element.classList.toggle("rv-active", p === this.active);
  }

  /** Gives the keyboard back to the picture. */
  focus() {
    this.active.element.focus({ preventScroll: true });
  }
}
