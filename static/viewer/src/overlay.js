/** What lies above a plane: lesion box, crosshair, lengths, orientation letters, readouts. */

import { h, setHidden, setText, svg } from "./dom.js";
import { PLANES, distanceMm } from "./mpr.js";
import { edges } from "./outline.js";
import { presetName } from "./windowing.js";

/** @import {Plane, Point, Voxel} from "./types.js" */
/** @import {Scene} from "./scene.js" */

/**
 * @typedef {object} Pane
 * @property {Plane} plane
 * @property {Scene} scene
 * @property {number} slice
 * @property {number} zoom
 * @property {HTMLElement} element
 * @property {Overlay} overlay
 * @property {(index: Voxel) => Point} toCanvas
 * @property {(at: Point) => Voxel} toIndex
 * @property {(factor: number, at: Point) => void} zoomBy
 * @property {(dx: number, dy: number) => void} panBy
 * @property {() => void} fit
 * @property {() => void} resize
 * @property {() => void} update
 * @property {() => void} window
 */

const TITLE = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };

export class Overlay {
  /** @param {Pane} pane */
  constructor(pane) {
    this.pane = pane;
    const [left, right, top, bottom] = PLANES[pane.plane].letters;
    this.marks = svg("svg", { class: "rv-marks", "aria-hidden": "true" });
    this.where = h("div", { class: "rv-readout rv-where" });
    this.voi = h("div", { class: "rv-readout rv-voi" });
    this.hu = h("div", { class: "rv-readout rv-hu" });
    this.note = h("div", { class: "rv-note", hidden: true });
    this.element = h("div", { class: "rv-overlay" },
      this.marks,
      h("span", { class: "rv-letter rv-left" }, left),
      h("span", { class: "rv-letter rv-right" }, right),
      h("span", { class: "rv-letter rv-top" }, top),
      h("span", { class: "rv-letter rv-bottom" }, bottom),
      this.where, this.voi, this.hu, this.note);
  }

  draw() {
    const { scene, plane, slice } = this.pane;
    if (!scene.c) return;
    this.marks.replaceChildren(...this.#box(), ...this.#outline(), ...this.#crosshair(), ...this.#lengths());
    setText(this.where, this.#place(slice));
    if (plane === "axial") {
      const { center, width, invert } = scene.voi;
      const name = presetName(scene.c.windows, scene.voi);
      setText(this.voi, `${name ?? "Own window"}  C ${center}  W ${width}${invert ? "  inverted" : ""}`);
      const absent = scene.volume.slice(slice) === null;
      setHidden(this.note, !absent);
      if (absent) setText(this.note, "Loading this slice …");
    }
    this.drawHu();
  }

  drawHu() {
    const { scene, plane } = this.pane;
    if (plane !== "axial") return;
    const value = scene.pointer ? scene.hu(scene.pointer) : null;
    setText(this.hu, value === null ? "" : `${value} HU`);
  }

  /** Slices are counted from the head (or the right, or the front), as on a film. @param {number} k */
  #place(k) {
    const { scene, plane } = this.pane;
    const count = scene.dims[PLANES[plane].axis];
    const number = plane === "axial" ? count - k : k + 1;
    return `${TITLE[plane]}  ${number} / ${count}`;
  }

  /** @returns {SVGElement[]} */
  #box() {
    const { scene, plane, slice } = this.pane;
    if (!scene.box || !scene.showMarker || !scene.cutsBox(plane, slice)) return [];
    const lo = /** @type {Voxel} */ (scene.box.map(([a]) => a - 0.5));
    const hi = /** @type {Voxel} */ (scene.box.map(([, b]) => b - 0.5));
    const [x0, y0] = this.pane.toCanvas(lo);
    const [x1, y1] = this.pane.toCanvas(hi);
    const rect = {
      x: Math.min(x0, x1),
      y: Math.min(y0, y1),
      width: Math.abs(x1 - x0),
      height: Math.abs(y1 - y0),
    };
    return [
      svg("rect", { class: "rv-box-shade", ...rect }),
      svg("rect", { class: "rv-box", ...rect }),
    ];
  }

  /** @returns {SVGElement[]} */
  #outline() {
    const { scene, plane, slice } = this.pane;
    if (!scene.outline || !scene.showOutline) return [];
    const lines = edges(scene.outline, plane, slice);
    if (!lines.length) return [];
    const point = (/** @type {Voxel} */ v) => this.pane.toCanvas(v).map((n) => n.toFixed(1)).join(" ");
    const d = lines.map(([a, b]) => `M${point(a)}L${point(b)}`).join("");
    return [svg("path", { class: "rv-outline-shade", d }), svg("path", { class: "rv-outline", d })];
  }

  /** @returns {SVGElement[]} */
  #crosshair() {
    const { scene } = this.pane;
    if (!scene.threePlanes) return [];
    const [x, y] = this.pane.toCanvas(scene.cursor);
    const { clientWidth: w, clientHeight: hgt } = this.pane.element;
    const gap = 14;
    const line = (/** @type {number} */ x1, /** @type {number} */ y1, /** @type {number} */ x2, /** @type {number} */ y2) =>
      svg("line", { class: "rv-cross", x1, y1, x2, y2 });
    return [
      line(0, y, x - gap, y),
      line(x + gap, y, w, y),
      line(x, 0, x, y - gap),
      line(x, y + gap, x, hgt),
    ];
  }

  /** @returns {SVGElement[]} */
  #lengths() {
    const { scene, plane, slice } = this.pane;
    return scene.lengths
      .filter((l) => l.plane === plane && l.slice === slice)
      .flatMap((l) => {
        const [x1, y1] = this.pane.toCanvas(l.a);
        const [x2, y2] = this.pane.toCanvas(l.b);
        const text = `${distanceMm(l.a, l.b, scene.spacing).toFixed(1)} mm`;
        const right = x1 > x2 ? [x1, y1] : [x2, y2];
        return [
          svg("line", { class: "rv-length-shade", x1, y1, x2, y2 }),
          svg("line", { class: "rv-length", x1, y1, x2, y2 }),
          svg("circle", { class: "rv-length-end", cx: x1, cy: y1, r: 3 }),
          svg("circle", { class: "rv-length-end", cx: x2, cy: y2, r: 3 }),
          svg("text", { class: "rv-length-text", x: right[0] + 10, y: right[1] + 5 }, text),
        ];
      });
  }
}
