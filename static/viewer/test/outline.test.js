import assert from "node:assert/strict";
import { test } from "node:test";

import { edges, holds, unpack } from "../src/outline.js";

/** 3 x 2 x 2 voxels from (10, 20, 5): an L in the lower slice, one voxel in the upper. */
const packed = { box: [[10, 13], [20, 22], [5, 7]], bits: btoa(String.fromCharCode(0b11110001, 0b00000000)) };

test("voxels are unpacked in the order z, y, x", () => {
  const outline = unpack(packed);
  assert.deepEqual([...outline.filled], [1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
  assert.equal(holds(outline, [12, 20, 5]), true);
  assert.equal(holds(outline, [12, 21, 5]), false);
  assert.equal(holds(outline, [11, 20, 6]), true);
  assert.equal(holds(outline, [9, 20, 5]), false);
});

test("the edge closes round the lesion, straight parts in one piece", () => {
  const lines = edges(unpack(packed), "axial", 5);
  // an L of four voxels has six sides
  assert.equal(lines.length, 6);
  const length = lines.reduce((sum, [a, b]) => sum + Math.hypot(...a.map((v, i) => v - b[i])), 0);
  assert.equal(length, 10);
  assert.ok(lines.some(([a, b]) => String(a) === "9.5,19.5,5" && String(b) === "12.5,19.5,5"));
});

test("each plane cuts the same voxels, and none outside the box", () => {
  const outline = unpack(packed);
  const voxels = (plane, k) => edges(outline, plane, k).length;
  assert.equal(voxels("axial", 7), 0);
  assert.equal(voxels("axial", 6), 4);
  assert.equal(voxels("sagittal", 12), 4);
  assert.equal(voxels("coronal", 21), 4);
  assert.equal(voxels("coronal", 22), 0);
});
