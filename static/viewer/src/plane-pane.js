/** A coronal or sagittal plane, drawn on a 2-D canvas from the frames already decoded. */

import { h } from "./dom.js";
import { PLANES, drawPlane, fit, planeSize, toIndex, toPicture } from "./mpr.js";
import { Overlay } from "./overlay.js";
import { clamp } from "./windowing.js";

/** @import {Plane, Point, Voxel} from "./types.js" */
/** @import {Scene} from "./scene.js" */

export class PlanePane {
  /** @param {Scene} scene @param {Plane} plane */
  constructor(scene, plane) {
    this.scene = scene;
    this.plane = plane;
    this.canvas = h("canvas", { class: "rv-canvas" });
    this.element = h("div", {
      class: `rv-pane rv-${plane}`,
      tabindex: "0",
      // "application": screen readers hand the keys on instead of reading with them
      role: "application",
      "aria-roledescription": "CT image",
      "aria-label": `${plane[0].toUpperCase()}${plane.slice(1)} plane`,
    }, this.canvas);
    this.overlay = new Overlay(this);
    this.element.append(this.overlay.element);
    /** @type {ImageData|null} */
    this.data = null;
    this.picture = document.createElement("canvas");
    this.zoom = 1;
    /** @type {Point} CSS px */
    this.pan = [0, 0];
    this.frame = 0;
  }

  get slice() {
    return Math.round(this.scene.cursor[PLANES[this.plane].axis]);
  }

  /** Draws with the next frame of the screen; many calls make one drawing. */
  update() {
    if (this.frame || !this.element.isConnected) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  window() {
    this.update();
  }

  #draw() {
    const { scene, canvas, picture } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = this.element.clientWidth;
    const height = this.element.clientHeight;
    if (!width || !height || !scene.ids.length) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const [w, h2] = planeSize(this.plane, scene.dims);
    if (picture.width !== w || picture.height !== h2) {
      picture.width = w;
      picture.height = h2;
      this.data = null;
    }
    const into = picture.getContext("2d", { alpha: false });
    const on = canvas.getContext("2d", { alpha: false });
    if (!into || !on) return;
    this.data ??= into.createImageData(w, h2);
    drawPlane(this.plane, scene.volume, this.slice, scene.table, new Uint32Array(this.data.data.buffer));
    into.putImageData(this.data, 0, 0);
    const [x0, y0] = this.#place([0, 0]);
    const [x1, y1] = this.#place([w, h2]);
    on.fillStyle = "black";
    on.fillRect(0, 0, canvas.width, canvas.height);
    on.imageSmoothingEnabled = true;
    on.drawImage(picture, x0 * ratio, y0 * ratio, (x1 - x0) * ratio, (y1 - y0) * ratio);
    this.overlay.draw();
  }

  /** CSS px of a corner-based position in the picture. @param {Point} uv @returns {Point} */
  #place([u, v]) {
    const [su, sv] = this.#spacing();
    const { scale, offset } = this.#fit();
    const cx = this.element.clientWidth / 2 + this.pan[0];
    const cy = this.element.clientHeight / 2 + this.pan[1];
    return [
      cx + (offset[0] + u * su * scale - this.element.clientWidth / 2) * this.zoom,
      cy + (offset[1] + v * sv * scale - this.element.clientHeight / 2) * this.zoom,
    ];
  }

  #spacing() {
    const { across, down } = PLANES[this.plane];
    return /** @type {Point} */ ([this.scene.spacing[across], this.scene.spacing[down]]);
  }

  #fit() {
    const [w, h2] = planeSize(this.plane, this.scene.dims);
    const [su, sv] = this.#spacing();
    return fit([w * su, h2 * sv], [this.element.clientWidth, this.element.clientHeight]);
  }

  /** @param {Voxel} index @returns {Point} */
  toCanvas(index) {
    const [u, v] = toPicture(this.plane, this.scene.dims, index);
    return this.#place([u + 0.5, v + 0.5]);
  }

  /** @param {Point} at @returns {Voxel} */
  toIndex(at) {
    const [x0, y0] = this.#place([0, 0]);
    const [x1, y1] = this.#place([1, 1]);
    /** @type {Point} */
    const uv = [(at[0] - x0) / (x1 - x0) - 0.5, (at[1] - y0) / (y1 - y0) - 0.5];
    return toIndex(this.plane, this.scene.dims, uv, this.slice);
  }

  /** @param {number} factor @param {Point} at */
  zoomBy(factor, at) {
    const next = clamp(this.zoom * factor, 0.25, 20);
    const f = next / this.zoom;
    const cx = this.element.clientWidth / 2;
    const cy = this.element.clientHeight / 2;
    this.pan = [
      at[0] - cx - (at[0] - cx - this.pan[0]) * f,
      at[1] - cy - (at[1] - cy - this.pan[1]) * f,
    ];
    this.zoom = next;
    this.update();
  }

  /** @param {number} dx @param {number} dy */
  panBy(dx, dy) {
    this.pan = [this.pan[0] + dx, this.pan[1] + dy];
    this.update();
  }

  fit() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.update();
  }

  resize() {
    this.update();
  }
}
