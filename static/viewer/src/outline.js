/**
 * The lesion's mask, drawn as its edge. Only the review page ever has one: a reader is shown a box,
 * if anything.
 */

import { PLANES } from "./mpr.js";

/** @import {Box, PackedOutline, Plane, Voxel} from "./types.js" */

/**
 * @typedef {object} Outline
 * @property {Box} box
 * @property {Uint8Array} filled   one byte a voxel of the box, order z, y, x
 */

/** @param {PackedOutline} packed @returns {Outline} */
export function unpack({ box, bits }) {
  const [nx, ny, nz] = sizes(box);
  const bytes = Uint8Array.from(atob(bits), (c) => c.charCodeAt(0));
  const filled = new Uint8Array(nx * ny * nz);
  for (let i = 0; i < filled.length; i++) filled[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  return { box, filled };
}

/** @param {Box} box @returns {Voxel} */
function sizes(box) {
  return /** @type {Voxel} */ (box.map(([lo, hi]) => hi - lo));
}

/** @param {Outline} outline @param {Voxel} index whole numbers @returns {boolean} */
export function holds({ box, filled }, index) {
  const [x, y, z] = index.map((v, i) => v - box[i][0]);
  const [nx, ny, nz] = sizes(box);
  if (x < 0 || y < 0 || z < 0 || x >= nx || y >= ny || z >= nz) return false;
  return filled[(z * ny + y) * nx + x] === 1;
}

/**
 * The edge of the lesion in slice `k` of a plane: lines along voxel borders, each as long as it is
 * straight. Ends are continuous voxel indices.
 * @param {Outline} outline @param {Plane} plane @param {number} k
 * @returns {[Voxel, Voxel][]}
 */
export function edges(outline, plane, k) {
  const { axis, across, down } = PLANES[plane];
  const { box } = outline;
  if (k < box[axis][0] || k >= box[axis][1]) return [];
  /** @param {number} u @param {number} v @returns {Voxel} */
  const at = (u, v) => {
    /** @type {Voxel} */
    const index = [0, 0, 0];
    index[axis] = k;
    index[across] = u;
    index[down] = v;
    return index;
  };
  const inside = (/** @type {number} */ u, /** @type {number} */ v) => holds(outline, at(u, v));
  /** @type {[Voxel, Voxel][]} */
  const lines = [];
  const [u0, u1] = box[across];
  const [v0, v1] = box[down];
  // borders that run along `across`, between row v - 1 and row v
  for (let v = v0; v <= v1; v++) {
    runs(u0, u1, (u) => inside(u, v - 1) !== inside(u, v), (from, to) =>
      lines.push([at(from - 0.5, v - 0.5), at(to - 0.5, v - 0.5)]));
  }
  for (let u = u0; u <= u1; u++) {
    runs(v0, v1, (v) => inside(u - 1, v) !== inside(u, v), (from, to) =>
      lines.push([at(u - 0.5, from - 0.5), at(u - 0.5, to - 0.5)]));
  }
  return lines;
}

/**
 * Calls `found` for each longest run of indices lo..hi-1 at which `holds` is true.
 * @param {number} lo @param {number} hi @param {(i: number) => boolean} is
 * @param {(from: number, to: number) => void} found
 */
function runs(lo, hi, is, found) {
  let from = -1;
  for (let i = lo; i <= hi; i++) {
    const on = i < hi && is(i);
    if (on && from < 0) from = i;
    if (!on && from >= 0) {
      found(from, i);
      from = -1;
    }
  }
}
