import assert from "node:assert/strict";
import test from "node:test";

import { CaseClock, IDLE_MS } from "../src/timing.js";

function clockAt(start = 1000, earlier) {
  const time = { now: start };
  const clock = new CaseClock(() => time.now, earlier);
  return { clock, pass: (ms) => (time.now += ms) };
}

test("R7 a hidden tab counts as elapsed, not as active", () => {
  const { clock, pass } = clockAt();
  clock.start();
  pass(10_000);
  clock.setVisible(false);
  pass(60_000);
  clock.setVisible(true);
  pass(5_000);
  assert.deepEqual(clock.save(), { elapsed_ms: 75_000, active_ms: 15_000, hidden_ms: 60_000 });
});

test("what goes beyond a minute without a sign of life is idle", () => {
  const { clock, pass } = clockAt();
  clock.start();
  pass(20_000);
  clock.activity();
  pass(IDLE_MS + 40_000);
  clock.activity();
  pass(1_000);
  assert.deepEqual(clock.save(), { elapsed_ms: 121_000, active_ms: 81_000, hidden_ms: 0 });
});

test("looking at the image for less than a minute is active", () => {
  const { clock, pass } = clockAt();
  clock.start();
  for (let i = 0; i < 5; i++) {
    pass(IDLE_MS - 1);
    clock.activity();
  }
  assert.equal(clock.save().active_ms, 5 * (IDLE_MS - 1));
});

test("saving often changes nothing", () => {
  const { clock, pass } = clockAt();
  clock.start();
  for (let i = 0; i < 200; i++) {
    pass(1_000);
    clock.save();
  }
  assert.deepEqual(clock.save(), { elapsed_ms: 200_000, active_ms: IDLE_MS, hidden_ms: 0 });
});

test("nothing counts before the first picture or after the end", () => {
  const { clock, pass } = clockAt();
  pass(9_000);
  clock.activity();
  clock.start();
  pass(3_000);
  clock.stop();
  pass(9_000);
  assert.deepEqual(clock.save(), { elapsed_ms: 3_000, active_ms: 3_000, hidden_ms: 0 });
});

test("a case resumed from a draft goes on counting", () => {
  const { clock, pass } = clockAt(5, { elapsed_ms: 60_000, active_ms: 30_000, hidden_ms: 12_000 });
  clock.start();
  pass(1_000);
  assert.deepEqual(clock.save(), { elapsed_ms: 61_000, active_ms: 31_000, hidden_ms: 12_000 });
});

test("nonsense in a draft counts as nothing", () => {
  const { clock } = clockAt(5, { elapsed_ms: -5, active_ms: Number.NaN, hidden_ms: "7" });
  assert.deepEqual(clock.save(), { elapsed_ms: 0, active_ms: 0, hidden_ms: 0 });
});
