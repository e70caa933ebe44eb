/** What is being looked at: one case, the point in it, the window, the marks. No DOM here. */

import { gridOf, PLANES } from "./mpr.js";
import { clamp, lookupTable } from "./windowing.js";

/** @import {Case, Plane, Voxel, Box} from "./types.js" */

/** @typedef {{plane: Plane, slice: number, a: Voxel, b: Voxel}} Length */

export class Scene {
  constructor() {
    /** @type {Case|null} */
    this.c = null;
    /** @type {string[]} */
    this.ids = [];
    /** @type {Voxel} */
    this.dims = [1, 1, 1];
    /** @type {Voxel} */
    this.spacing = [1, 1, 1];
    /** @type {Voxel} the point all planes go through */
    this.cursor = [0, 0, 0];
    this.voi = { center: 40, width: 400, invert: false };
    this.table = lookupTable(40, 400, false);
    /** @type {Box|null} */
    this.box = null;
    this.showMarker = true;
    this.threePlanes = false;
    /** @type {Length[]} */
    this.lengths = [];
    /** @type {import("./mpr.js").Volume} */
    this.volume = { columns: 1, rows: 1, count: 1, slice: () => null };
    /** @type {Voxel|null} where the pointer is, for the HU readout */
    this.pointer = null;
    /** @type {import("./outline.js").Outline|null} the lesion itself; on the review page alone */
    this.outline = null;
    this.showOutline = true;
  }

  /**
   * @param {Case} c
   * @param {boolean} marker does the protocol show the lesion?
   */
  open(c, marker) {
    this.c = c;
    const { dims, spacing } = gridOf(c.image, c.frames.count);
    this.dims = dims;
    this.spacing = spacing;
    this.box = marker ? (c.marker?.box ?? null) : null;
    this.showMarker = true;
    this.lengths = [];
    this.pointer = null;
    this.cursor = this.home();
    const first = c.windows[0] ?? { center: 40, width: 400 };
    this.setWindow({ center: first.center, width: first.width, invert: false });
  }

  /**
   * Says where the frames are.
   * @param {string[]} ids @param {(id: string) => Int16Array|null} pixels
   */
  bind(ids, pixels) {
    const [columns, rows, count] = this.dims;
    this.ids = ids;
    this.volume = {
      columns,
      rows,
      count,
      slice: (k) => (ids[k] === undefined ? null : pixels(ids[k])),
    };
  }

  /** Where a case begins: the protocol's slice, in-plane the lesion or the middle. @returns {Voxel} */
  home() {
    const k = clamp(this.c?.startSlice ?? 0, 0, this.dims[2] - 1);
    if (!this.box) return [Math.floor(this.dims[0] / 2), Math.floor(this.dims[1] / 2), k];
    return [mid(this.box[0]), mid(this.box[1]), k];
  }

  /** Middle of the marked lesion, else where the case begins. @returns {Voxel} */
  lesion() {
    return this.box ? [mid(this.box[0]), mid(this.box[1]), mid(this.box[2])] : this.home();
  }

  /** @param {Voxel} index */
  moveTo(index) {
    this.cursor = /** @type {Voxel} */ (
      index.map((v, i) => clamp(Math.round(v), 0, this.dims[i] - 1))
    );
  }

  /** @param {{center: number, width: number, invert: boolean}} voi */
  setWindow(voi) {
    this.voi = voi;
    lookupTable(voi.center, voi.width, voi.invert, this.table);
  }

  /** HU at a voxel, null outside the volume or before its frame is in. @param {Voxel} index */
  hu(index) {
    const [x, y, z] = index.map(Math.round);
    const [nx, ny, nz] = this.dims;
    if (x < 0 || y < 0 || z < 0 || x >= nx || y >= ny || z >= nz) return null;
    return this.volume.slice(z)?.[y * nx + x] ?? null;
  }

  /** Does slice `k` of a plane cut the marked box? @param {Plane} plane @param {number} k */
  cutsBox(plane, k) {
    if (!this.box) return false;
    const [lo, hi] = this.box[PLANES[plane].axis];
    return k >= lo && k < hi;
  }
}

/** Middle voxel of a half-open range. @param {[number, number]} range */
function mid([lo, hi]) {
  return Math.floor((lo + hi - 1) / 2);
}
