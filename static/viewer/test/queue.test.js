import assert from "node:assert/strict";
import test from "node:test";

import { ApiError, sortFailure } from "../src/api.js";
import { AnswerQueue, backoff } from "../src/queue.js";
import { localStore, memoryStore } from "../src/store.js";

const answer = (id, token = `case-${id}`) => ({
  client_uuid: `uuid-${id}`, token, rating: 4, comment: "", cues: [], client: {},
});

/** A queue over a fake server; `script` says what each try meets. */
function setUp({ store = memoryStore(), script = [], reader = "R01" } = {}) {
  const log = { sent: [], stored: [], conflicts: [], refused: [], timers: [] };
  const queue = new AnswerQueue({
    store,
    reader,
    random: () => 0,
    later: (act, ms) => log.timers.push({ act, ms }),
    send: async (a) => {
      log.sent.push(a.client_uuid);
      const outcome = script.shift();
      if (outcome instanceof Error) throw outcome;
      return { status: "stored", worklist: outcome ?? null };
    },
    hooks: {
      stored: (item) => log.stored.push(item.answer.client_uuid),
      conflict: (item, stored) => log.conflicts.push([item.answer.client_uuid, stored]),
      refused: (item) => log.refused.push(item.answer.client_uuid),
      changed: () => {},
    },
  });
  return { queue, log, store };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const failure = (kind, body) => new ApiError(kind, `${kind}.`, 0, body);

test("an answer is in the store before it is sent and gone once it is kept", async () => {
  const { queue, log, store } = setUp();
  let inStore = -1;
  const send = queue.send;
  queue.send = async (a) => {
    inStore = (await store.all("answers")).length;
    return send(a);
  };
  assert.equal(await queue.add(answer(1), 1), true);
  await settle();
  assert.equal(inStore, 1);
  assert.deepEqual(log.stored, ["uuid-1"]);
  assert.deepEqual(await store.all("answers"), []);
  assert.equal(queue.unsent, 0);
});

test("without a network answers wait, in order, and none is doubled", async () => {
  const { queue, log } = setUp({ script: [failure("offline"), failure("busy")] });
  await queue.add(answer(1), 1);
  await settle();
  assert.equal(queue.state, "waiting");
  await queue.add(answer(2), 2); // kicks: fails a second time
  await settle();
  assert.equal(queue.unsent, 2);
  assert.deepEqual(log.timers.map((t) => t.ms), [1000, 2000]);
  log.timers[0].act(); // overtaken by the second: must do nothing
  await settle();
  assert.deepEqual(log.sent, ["uuid-1", "uuid-1"]);
  log.timers[1].act();
  await settle();
  assert.deepEqual(log.stored, ["uuid-1", "uuid-2"]);
  assert.deepEqual(log.sent, ["uuid-1", "uuid-1", "uuid-1", "uuid-2"]);
});

test("a reload finds what the page before it had not delivered", async () => {
  const first = setUp({ script: [failure("offline"), failure("offline")] });
  await first.queue.add(answer(2), 20);
  await settle();
  await first.queue.add(answer(1), 10);
  await settle();
  const second = setUp({ store: first.store });
  await second.queue.open();
  assert.equal(second.queue.unsent, 2);
  assert.ok(second.queue.has("case-1"));
  second.queue.kick();
  await settle();
  assert.deepEqual(second.log.stored, ["uuid-1", "uuid-2"], "oldest first");
});

test("another reader's answers on the same computer are left alone", async () => {
  const first = setUp({ script: [failure("offline")], reader: "R01" });
  await first.queue.add(answer(1), 1);
  await settle();
  const second = setUp({ store: first.store, reader: "R02" });
  await second.queue.open();
  assert.equal(second.queue.unsent, 0);
  assert.equal((await first.store.all("answers")).length, 1);
});

test("R2 a conflict takes the stored answer and goes on", async () => {
  const { queue, log, store } = setUp({ script: [failure("conflict", { stored: { rating: 2 } })] });
  await queue.add(answer(1), 1);
  await queue.add(answer(2), 2);
  await settle();
  assert.deepEqual(log.conflicts, [["uuid-1", { rating: 2 }]]);
  assert.deepEqual(log.stored, ["uuid-2"]);
  assert.deepEqual(await store.all("answers"), []);
});

test("R9 signed out: everything waits for the reader, no timer runs", async () => {
  const { queue, log, store } = setUp({ script: [failure("signin")] });
  await queue.add(answer(1), 1);
  await settle();
  assert.equal(queue.state, "signin");
  assert.equal(log.timers.length, 0);
  assert.equal((await store.all("answers")).length, 1);
  queue.kick();
  await settle();
  assert.deepEqual(log.stored, ["uuid-1"]);
});

test("a refused answer is kept, lets others pass, and may be tried again", async () => {
  const { queue, log, store } = setUp({ script: [failure("refused")] });
  await queue.add(answer(1), 1);
  await queue.add(answer(2), 2);
  await settle();
  assert.deepEqual(log.refused, ["uuid-1"]);
  assert.deepEqual(log.stored, ["uuid-2"]);
  assert.equal((await store.all("answers")).length, 1);
  assert.equal(queue.stuck.length, 1);
  queue.unstick();
  await settle();
  assert.deepEqual(log.stored, ["uuid-2", "uuid-1"]);
});

test("a store that fails does not stop the sending, and says so", async () => {
  const store = { ...memoryStore(), put: async () => Promise.reject(new Error("quota")) };
  const { queue, log } = setUp({ store });
  assert.equal(await queue.add(answer(1), 1), false);
  await settle();
  assert.deepEqual(log.stored, ["uuid-1"]);
});

test("waiting doubles up to half a minute", () => {
  assert.deepEqual([1, 2, 3, 6, 20].map((n) => backoff(n)), [1000, 2000, 4000, 30000, 30000]);
  assert.equal(backoff(1, 1), 1300);
});

test("failures are sorted by what must be done about them", () => {
  assert.equal(sortFailure(401, { detail: "Sign in." }), "signin");
  assert.equal(sortFailure(403, null), "signin", "Django's CSRF page is HTML");
  assert.equal(sortFailure(403, { detail: "CSRF check failed." }), "signin");
  assert.equal(sortFailure(403, { detail: "The study is paused." }), "refused");
  assert.equal(sortFailure(409, {}), "conflict");
  for (const status of [408, 429, 500, 502, 503]) assert.equal(sortFailure(status, null), "busy");
  for (const status of [400, 404, 422]) assert.equal(sortFailure(status, {}), "invalid");
});

test("localStorage serves where IndexedDB does not", async () => {
  const map = new Map();
  const storage = {
    get length() { return map.size; },
    key: (i) => [...map.keys()][i] ?? null,
    getItem: (k) => map.get(k) ?? null,
    setItem: (k, v) => void map.set(k, v),
    removeItem: (k) => void map.delete(k),
  };
  storage.setItem("someone.else", "not json");
  const store = localStore(storage);
  await store.put("answers", "a", { n: 1 });
  await store.put("drafts", "a", { n: 2 });
  assert.deepEqual(await store.all("answers"), [{ n: 1 }]);
  assert.deepEqual(await store.get("drafts", "a"), { n: 2 });
  await store.remove("answers", "a");
  assert.deepEqual(await store.all("answers"), []);
  assert.equal(await store.get("answers", "a"), undefined);
});
