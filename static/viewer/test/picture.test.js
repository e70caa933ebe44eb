import assert from "node:assert/strict";
import test from "node:test";

import { distanceMm, drawPlane, fit, gridOf, toIndex, toPicture } from "../src/mpr.js";
import { Scene } from "../src/scene.js";
import { dragWindow, lookupTable, presetName, voiRange } from "../src/windowing.js";
import { chooseBackend } from "../src/render-policy.js";

const grey = (word) => word & 0xff;

test("a window follows DICOM's linear formula", () => {
  for (const [c, w] of [[40, 400], [90, 150], [-600, 1500], [480, 2500]]) {
    const table = lookupTable(c, w, false);
    for (const hu of [-32768, -1024, c - w, c - 3, c, c + 17, c + w, 3071, 32767]) {
      const exact = Math.min(255, Math.max(0, ((hu - (c - 0.5)) / (w - 1) + 0.5) * 255));
      assert.ok(Math.abs(grey(table[hu + 32768]) - exact) <= 0.5, `${hu} in ${c}/${w}`);
      assert.equal(table[hu + 32768] >>> 24, 255);
    }
    const { lower, upper } = voiRange(c, w);
    assert.equal(upper - lower, w - 1);
    assert.equal((upper + lower) / 2, c - 0.5);
  }
});

test("inverting mirrors every grey", () => {
  const plain = lookupTable(40, 400, false);
  const inverted = lookupTable(40, 400, true);
  for (let i = 32000; i < 33500; i += 7) assert.equal(grey(plain[i]) + grey(inverted[i]), 255);
});

test("the narrowest window does not divide by nothing", () => {
  const table = lookupTable(0, 1, false);
  assert.equal(grey(table[32768 - 5]), 0);
  assert.equal(grey(table[32768 + 5]), 255);
});

test("a drag widens to the right, raises the level downwards, and stays in bounds", () => {
  const wider = dragWindow({ center: 40, width: 300 }, 10, 5);
  assert.deepEqual(wider, { center: 45, width: 310 });
  assert.equal(dragWindow({ center: 40, width: 10 }, -999, 0).width, 2);
});

test("a preset is known by its numbers", () => {
  const presets = [{ name: "Liver", center: 90, width: 150 }];
  assert.equal(presetName(presets, { center: 90, width: 150 }), "Liver");
  assert.equal(presetName(presets, { center: 91, width: 150 }), null);
});

// A volume whose every voxel says where it is: x + 10 y + 100 z.
const [COLUMNS, ROWS, COUNT] = [4, 3, 5];
const slices = Array.from({ length: COUNT }, (_, z) =>
  Int16Array.from({ length: COLUMNS * ROWS }, (_, i) => (i % COLUMNS) + 10 * Math.floor(i / COLUMNS) + 100 * z));
const volume = { columns: COLUMNS, rows: ROWS, count: COUNT, slice: (k) => slices[k] ?? null };
const identity = Uint32Array.from({ length: 65536 }, (_, i) => i - 32768);
const dims = [COLUMNS, ROWS, COUNT];

for (const [plane, k, width, height] of [["axial", 2, 4, 3], ["coronal", 1, 4, 5], ["sagittal", 3, 3, 5]]) {
  test(`${plane}: every pixel shows the voxel that toIndex names`, () => {
    const out = new Uint32Array(width * height);
    drawPlane(plane, volume, k, identity, out);
    for (let v = 0; v < height; v++) {
      for (let u = 0; u < width; u++) {
        const [x, y, z] = toIndex(plane, dims, [u, v], k);
        assert.equal(out[v * width + u], x + 10 * y + 100 * z, `${u},${v}`);
        assert.deepEqual(toPicture(plane, dims, [x, y, z]), [u, v]);
      }
    }
  });
}

test("the head is on top, the patient's right on the left, the front on the left of a sagittal plane", () => {
  assert.deepEqual(toIndex("coronal", dims, [0, 0], 1), [0, 1, COUNT - 1]);
  assert.deepEqual(toIndex("sagittal", dims, [0, 0], 3), [3, 0, COUNT - 1]);
  assert.deepEqual(toIndex("axial", dims, [0, 0], 2), [0, 0, 2]);
});

test("frames that are not in yet stay black", () => {
  const holes = { ...volume, slice: (k) => (k === 1 ? null : slices[k]) };
  const out = new Uint32Array(4 * 5);
  drawPlane("coronal", holes, 0, identity, out);
  assert.ok(out.subarray(3 * 4, 4 * 4).every((word) => word === 0xff000000));
  assert.equal(out[2 * 4 + 1], 201);
  const axial = new Uint32Array(12);
  drawPlane("axial", holes, 1, identity, axial);
  assert.ok(axial.every((word) => word === 0xff000000));
});

test("a picture fits and keeps its proportions in mm", () => {
  assert.deepEqual(fit([400, 200], [800, 800]), { scale: 2, offset: [0, 200] });
  assert.deepEqual(fit([100, 300], [600, 600]), { scale: 2, offset: [200, 0] });
});

test("lengths are in mm along every axis", () => {
  assert.equal(distanceMm([0, 0, 0], [3, 4, 0], [1, 1, 5]), 5);
  assert.equal(distanceMm([0, 0, 0], [0, 0, 2], [1, 1, 2.5]), 5);
});

const image = { rows: 3, columns: 4, pixelSpacing: [0.7, 0.8], sliceSpacing: 2, bitsAllocated: 16, pixelRepresentation: 1, padding: -1024 };
const someCase = {
  token: "t", phase: "main", position: 1, total: 2, organ: "liver", frames: { count: 5, url: "/f/" }, image,
  marker: { box: [[1, 3], [0, 2], [2, 4]] }, startSlice: 1, windows: [{ name: "Liver", center: 90, width: 150 }], draft: null,
};

test("row and column spacing are not mixed up", () => {
  assert.deepEqual(gridOf(image, 5), { dims: [4, 3, 5], spacing: [0.8, 0.7, 2] });
});

test("a case opens at the protocol's slice with the protocol's window", () => {
  const scene = new Scene();
  scene.open(someCase, true);
  scene.bind(["a", "b", "c", "d", "e"], (id) => slices["abcde".indexOf(id)]);
  assert.deepEqual(scene.cursor, [1, 0, 1]);
  assert.deepEqual(scene.voi, { center: 90, width: 150, invert: false });
  assert.deepEqual(scene.lesion(), [1, 0, 2]);
  assert.equal(scene.hu([2, 1, 3]), 312);
  assert.equal(scene.hu([4, 0, 0]), null);
});

test("the box shows on the slices of its half-open range only", () => {
  const scene = new Scene();
  scene.open(someCase, true);
  assert.deepEqual([1, 2, 3, 4].map((k) => scene.cutsBox("axial", k)), [false, true, true, false]);
  assert.deepEqual([0, 1, 2].map((k) => scene.cutsBox("coronal", k)), [true, true, false]);
  scene.open(someCase, false);
  assert.equal(scene.cutsBox("axial", 2), false);
});

test("the graphics card draws only where there is a real one", () => {
  const real = { webgl: true, webgl2: true, softwareRasterizer: false, maxTextureSize: 16384 };
  const soft = { ...real, softwareRasterizer: true };
  const none = { webgl: false, softwareRasterizer: false };
  assert.equal(chooseBackend("auto", real).backend, "gpu");
  assert.equal(chooseBackend("auto", soft).backend, "cpu");
  assert.equal(chooseBackend("auto", none).backend, "cpu");
  assert.equal(chooseBackend("cpu", real).backend, "cpu");
  assert.equal(chooseBackend("gpu", soft).backend, "gpu");
  assert.deepEqual(chooseBackend("gpu", none), { backend: "cpu", reason: "no-webgl" });
});
