/**
 * Geometry and drawing of the three planes of one volume, without a canvas in sight.
 *
 * Frames come in patient axes: x to the patient's left, y to the back, z to the head. Every plane
 * is drawn as radiologists expect it: the patient's right on the left of the picture, front on the
 * left of a sagittal plane, head on top.
 */

/** @import {Plane, Voxel, Point, CaseImage} from "./types.js" */

/**
 * @typedef {object} Volume
 * @property {number} columns
 * @property {number} rows
 * @property {number} count
 * @property {(k: number) => Int16Array | null} slice  decoded HU of one frame, null until it is in
 */

/** @type {Record<Plane, {axis: 0|1|2, across: 0|1|2, down: 0|1|2, flipDown: boolean, letters: [string, string, string, string]}>} */
export const PLANES = {
  // letters: left, right, top, bottom
  axial: { axis: 2, across: 0, down: 1, flipDown: false, letters: ["R", "L", "A", "P"] },
  coronal: { axis: 1, across: 0, down: 2, flipDown: true, letters: ["R", "L", "S", "I"] },
  sagittal: { axis: 0, across: 1, down: 2, flipDown: true, letters: ["A", "P", "S", "I"] },
};

/**
 * Voxels and millimetres of a case along x, y, z.
 * @param {CaseImage} image @param {number} count
 * @returns {{dims: Voxel, spacing: Voxel}}
 */
export function gridOf(image, count) {
  return {
    dims: [image.columns, image.rows, count],
    spacing: [image.pixelSpacing[1], image.pixelSpacing[0], image.sliceSpacing],
  };
}

/**
 * Size of a plane's picture in voxels: [width, height].
 * @param {Plane} plane @param {Voxel} dims @returns {Point}
 */
export function planeSize(plane, dims) {
  const p = PLANES[plane];
  return [dims[p.across], dims[p.down]];
}

/**
 * Position in a plane's picture (voxels, whole numbers are voxel centers) of a voxel index.
 * @param {Plane} plane @param {Voxel} dims @param {Voxel} index @returns {Point}
 */
export function toPicture(plane, dims, index) {
  const p = PLANES[plane];
  const v = index[p.down];
  return [index[p.across], p.flipDown ? dims[p.down] - 1 - v : v];
}

/**
 * Voxel index of a position in the picture of slice `k` of a plane.
 * @param {Plane} plane @param {Voxel} dims @param {Point} at @param {number} k @returns {Voxel}
 */
export function toIndex(plane, dims, [u, v], k) {
  const p = PLANES[plane];
  /** @type {Voxel} */
  const index = [0, 0, 0];
  index[p.axis] = k;
  index[p.across] = u;
  index[p.down] = p.flipDown ? dims[p.down] - 1 - v : v;
  return index;
}

/**
 * Draws one plane through `table` (see `lookupTable`) into `out`, row after row.
 * Frames that are not in yet stay at `blank`.
 * @param {Plane} plane @param {Volume} volume @param {number} k
 * @param {Uint32Array} table @param {Uint32Array} out  width * height of `planeSize`
 * @param {number} [blank]
 */
export function drawPlane(plane, volume, k, table, out, blank = 0xff000000) {
  const { columns, rows, count } = volume;
  if (plane === "axial") {
    const slice = volume.slice(k);
    if (!slice) {
      out.fill(blank);
      return;
    }
    for (let i = 0; i < out.length; i++) out[i] = table[slice[i] + 32768];
    return;
  }
  const width = plane === "coronal" ? columns : rows;
  const start = plane === "coronal" ? k * columns : k;
  const step = plane === "coronal" ? 1 : columns;
  for (let z = 0; z < count; z++) {
    const slice = volume.slice(z);
    let to = (count - 1 - z) * width;
    if (!slice) {
      out.fill(blank, to, to + width);
      continue;
    }
    for (let i = 0, from = start; i < width; i++, from += step) {
      out[to++] = table[slice[from] + 32768];
    }
  }
}

/**
 * Scale (CSS px per mm) and offset that fit a picture of `sizeMm` into a canvas, centered.
 * @param {Point} sizeMm @param {Point} canvas CSS px
 */
export function fit(sizeMm, canvas) {
  const scale = Math.min(canvas[0] / sizeMm[0], canvas[1] / sizeMm[1]);
  return {
    scale,
    offset: /** @type {Point} */ ([
      (canvas[0] - sizeMm[0] * scale) / 2,
      (canvas[1] - sizeMm[1] * scale) / 2,
    ]),
  };
}

/**
 * Distance of two voxel indices in mm.
 * @param {Voxel} a @param {Voxel} b @param {Voxel} spacing
 */
export function distanceMm(a, b, spacing) {
  return Math.hypot(...a.map((v, i) => (v - b[i]) * spacing[i]));
}
