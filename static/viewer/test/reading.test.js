import assert from "node:assert/strict";
import test from "node:test";

import { explain } from "../src/case-load.js";
import { readConfig } from "../src/config.js";
import { CONCURRENCY, FrameLoader } from "../src/frames.js";
import { commandOf } from "../src/keys.js";
import { wheelSteps } from "../src/pointer.js";
import { CaseRecord } from "../src/record.js";
import { newId } from "../src/ids.js";

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A loader whose frames arrive when the test says so. */
function setUp(count, hooks = {}) {
  const asked = [];
  const doors = new Map();
  const timers = [];
  const loader = new FrameLoader(count, (k) => {
    asked.push(k);
    return new Promise((resolve, reject) => doors.set(k, { resolve, reject }));
  }, hooks, (act, ms) => timers.push({ act, ms }));
  const arrive = async (k) => { doors.get(k).resolve(); await settle(); };
  const fail = async (k, error = new Error("no")) => { doors.get(k).reject(error); await settle(); };
  return { loader, asked, timers, arrive, fail };
}

test("the slice on the screen comes first and alone, then its neighbours, four at a time", async () => {
  const { loader, asked, arrive } = setUp(20);
  loader.start(10);
  assert.deepEqual(asked, [10]);
  await arrive(10);
  assert.deepEqual(asked, [10, 11, 9, 12, 8]);
  assert.equal(loader.busy.size, CONCURRENCY);
  await arrive(9);
  assert.equal(asked.at(-1), 13);
});

test("a jump is served at once, beyond the four, and what follows is near it", async () => {
  const { loader, asked, arrive } = setUp(100);
  loader.start(10);
  await arrive(10);
  loader.focus(90);
  assert.equal(asked.at(-1), 90);
  assert.equal(loader.busy.size, CONCURRENCY + 1);
  await arrive(90);
  await arrive(11);
  assert.equal(asked.at(-1), 91);
});

test("R8 a frame that fails is tried again, later and later, and the case is not complete", async () => {
  const failures = [];
  let complete = 0;
  const { loader, timers, arrive, fail } = setUp(2, {
    failed: (k, attempt) => failures.push([k, attempt]),
    complete: () => complete++,
  });
  loader.start(0);
  await fail(0);
  await arrive(1);
  assert.equal(loader.complete, false);
  assert.equal(complete, 0);
  assert.equal(timers[0].ms, 500);
  assert.deepEqual(loader.troubled, []);
  timers[0].act();
  await fail(0);
  assert.equal(timers[1].ms, 1000);
  assert.deepEqual(loader.troubled, [0], "now the reader is told");
  loader.retryNow();
  await arrive(0);
  timers[1].act(); // overtaken
  await settle();
  assert.deepEqual(failures, [[0, 1], [0, 2]]);
  assert.equal(complete, 1);
  assert.deepEqual(loader.troubled, []);
});

test("a stopped loader asks for nothing more", async () => {
  const { loader, asked, arrive } = setUp(9);
  loader.start(4);
  loader.stop();
  await arrive(4);
  assert.deepEqual(asked, [4]);
});

test("the loader's many kinds of failure are understood", () => {
  assert.deepEqual(explain({ status: 403 }), { reason: "HTTP 403", status: 403, damaged: false });
  assert.deepEqual(explain({ error: { status: 0 } }), { reason: "no answer", status: 0, damaged: false });
  assert.equal(explain(new Error("Invalid JPEG-LS stream")).damaged, true);
  assert.equal(explain({ status: 200 }).damaged, true);
});

const key = (k, more = {}) => ({
  key: k, code: "", shiftKey: false, ctrlKey: false, altKey: false, metaKey: false, repeat: false, ...more,
});

test("digits answer, with Shift they set the window, on any layout", () => {
  assert.deepEqual(commandOf(key("4", { code: "Digit4" })), { name: "choose", arg: 4 });
  assert.deepEqual(commandOf(key("'", { code: "Digit4" })), { name: "choose", arg: 4 }, "AZERTY");
  assert.deepEqual(commandOf(key("$", { code: "Digit4", shiftKey: true })), { name: "preset", arg: 4 });
  assert.deepEqual(commandOf(key("5", { code: "Numpad5" })), { name: "choose", arg: 5 });
  assert.notEqual(commandOf(key("ArrowLeft", { code: "Numpad4" }))?.name, "choose", "NumLock off");
});

test("a key held down neither answers twice nor flickers, but does scroll", () => {
  assert.equal(commandOf(key("Enter", { repeat: true })), null);
  assert.equal(commandOf(key("i", { repeat: true })), null);
  assert.deepEqual(commandOf(key("ArrowDown", { repeat: true })), { name: "scroll", arg: 1 });
});

test("the browser's own shortcuts stay the browser's", () => {
  assert.equal(commandOf(key("r", { ctrlKey: true })), null);
  assert.equal(commandOf(key("l", { metaKey: true })), null);
});

test("Shift with arrows moves the picture, capitals mean the same letter", () => {
  assert.deepEqual(commandOf(key("ArrowUp", { shiftKey: true })), { name: "panY", arg: 1 });
  assert.deepEqual(commandOf(key("M", { shiftKey: true })), { name: "planes" });
  assert.deepEqual(commandOf(key("P", { shiftKey: true })), { name: "pause" });
  assert.equal(commandOf(key("p")), null, "leaving takes Shift");
});

test("one notch is one slice, a touchpad's trickle adds up", () => {
  assert.deepEqual(wheelSteps(100, 0), [1, 0]);
  assert.deepEqual(wheelSteps(-120, 0), [-1, 0]);
  assert.deepEqual(wheelSteps(360, 0), [3, 0]);
  let rest = 0;
  let total = 0;
  for (let i = 0; i < 12; i++) {
    const [steps, left] = wheelSteps(8, rest);
    total += steps;
    rest = left;
  }
  assert.equal(total, 4);
  assert.deepEqual(wheelSteps(-8, 20), [0, -8], "turning round starts anew");
});

test("the record keeps what the analysis needs, and goes on after a pause", () => {
  const first = new CaseRecord();
  first.started("2026-01-01T10:00:00.000Z");
  for (const k of [5, 3, 5, 12]) first.slice(k);
  first.window(40, 400, "Soft tissue");
  first.window(40, 400, "Soft tissue");
  first.window(55, 390, null);
  first.zoomed(2.5);
  first.zoomed(1);
  first.frameError(7, 1, "HTTP 500");
  first.chose(1234.4);
  first.chose(9999);
  const second = new CaseRecord(JSON.parse(JSON.stringify(first.save())));
  second.started("2026-01-02T10:00:00.000Z");
  second.slice(4);
  const saved = second.save();
  assert.deepEqual(saved.slices_seen, [3, 4, 5, 12]);
  assert.deepEqual(saved.windows_used.map((w) => w.name), ["Soft tissue", null]);
  assert.equal(saved.zoom_max, 2.5);
  assert.equal(saved.first_choice_ms, 1234);
  assert.equal(saved.choices, 2);
  assert.equal(saved.resumed, 1);
  assert.equal(saved.started_at, "2026-01-01T10:00:00.000Z");
  assert.equal(saved.frame_errors.length, 1);
});

test("a page without the address of the service says so", () => {
  assert.throws(() => readConfig(null), /Reload the page/);
  const config = readConfig({ api: "/api/reading/demo/", tools: { mpr: false }, cues: ["Edge", { value: "x", label: "Texture" }] });
  assert.equal(config.api, "/api/reading/demo");
  assert.deepEqual(config.tools, { mpr: false, length: true, hu: true });
  assert.deepEqual(config.cues, [{ value: "Edge", label: "Edge" }, { value: "x", label: "Texture" }]);
  assert.equal(config.scale.length, 6);
});

test("ids are UUIDs of version 4, with and without crypto.randomUUID", () => {
  const shape = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  assert.match(newId(), shape);
  const { randomUUID } = crypto;
  try {
    Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
    assert.match(newId(), shape);
    assert.notEqual(newId(), newId());
  } finally {
    Object.defineProperty(crypto, "randomUUID", { value: randomUUID, configurable: true });
  }
});
