/** Builds the page inside <main id="viewer-root"> and wires the parts together. */

import "./viewer.css";
import { Api } from "./api.js";
import { readConfig } from "./config.js";
import { h } from "./dom.js";
import { Form } from "./form.js";
import { Help } from "./help.js";
import { commandOf } from "./keys.js";
import { Notice } from "./notice.js";
import { Panel } from "./panel.js";
import { AnswerQueue } from "./queue.js";
import { Session } from "./session.js";
import { openStore } from "./store.js";
import { Toolbar } from "./toolbar.js";

/** @import {Config} from "./types.js" */

// Cornerstone is most of the bundle: let it load while the rest of the page builds itself.
const viewerModule = import("./viewer.js");

async function start() {
  const root = document.getElementById("viewer-root");
  const raw = document.getElementById("viewer-config")?.textContent;
  if (!root) throw new Error("The page has no place for the viewer. Reload the page.");
  const config = readConfig(JSON.parse(raw ?? "null"));
  const trueRatio = window.devicePixelRatio || 1;
  const notice = new Notice();
  const store = await openStore();
  const { Viewer } = await viewerModule;

  const viewer = new Viewer(config, {
    slice: (k) => session.seen(k),
    want: (k) => session.want(k),
    window: (center, width, name) => session.record.window(center, width, name),
    zoom: (zoom) => session.record.zoomed(zoom),
    contextLost: () => {
      session.record.contextLost += 1;
      panel.say("The graphics card let go of the image; the viewer now draws without it.");
    },
    length: () => (session.record.lengths += 1),
    planes: () => (session.record.threePlanes = true),
    changed: () => toolbar?.update(),
  });
  const form = new Form(config, {
    chose: () => session.chose(),
    changed: () => session.touched(),
    confirm: () => void session.confirm(),
    leave: () => viewer.focus(),
  });
  const panel = new Panel(config, form, () => void session.pause());
  const help = new Help(() => viewer.focus());
  const toolbar = new Toolbar(viewer, (name, arg) => run(name, arg));
  viewer.element.append(notice.element);
  root.replaceChildren(
    h("div", { class: "rv-app" }, toolbar.element, h("div", { class: "rv-middle" }, viewer.element, notice.element), panel.element),
    help.element,
  );
  notice.show("", "Opening the case …", [], true);
  const engine = viewer.mount();

  const api = new Api(config);
  const queue = new AnswerQueue({
    store,
    reader: config.reader,
    send: (answer) => api.judge(answer),
    hooks: {
      stored: (_, worklist) => void session.stored(worklist),
      conflict: () => void session.conflicted(),
      refused: () => void session.ask(),
      changed: () => session?.connection(),
    },
  });
  const session = new Session({ config, api, store, queue, viewer, form, panel, notice, engine, screen: { trueRatio } });
  panel.retry.addEventListener("click", () => session.retryFrames());

  /** @type {Record<string, (arg: number) => void>} */
  const commands = {
    choose: (value) => {
      const step = config.scale.find((s) => s.key === String(value));
      if (!step) return;
      viewer.focus(); // the next Enter is meant for the answer, whatever had the focus
      if (!form.choose(step.value)) panel.say(form.lockedText);
    },
    confirm: () => void session.confirm(),
    undo: () => form.undo() && panel.say("Choice undone."),
    escape: () => commands.undo(0),
    comment: () => form.focusComment(),
    tags: () => form.focusTags(),
    scroll: (n) => viewer.scroll(n),
    first: () => viewer.first(),
    last: () => viewer.last(),
    zoom: (d) => viewer.zoom(d),
    panX: (d) => viewer.panX(d),
    panY: (d) => viewer.panY(d),
    width: (d) => viewer.width(d),
    level: (d) => viewer.level(d),
    preset: (n) => viewer.preset(n),
    invert: () => viewer.invert(),
    reset: () => viewer.reset(),
    jump: () => viewer.jump(),
    marker: () => viewer.marker(),
    planes: () => viewer.planes(),
    nextPlane: () => viewer.nextPlane(),
    removeLength: () => viewer.removeLength(),
    "tool.window": () => viewer.setTool("window"),
    "tool.scroll": () => viewer.setTool("scroll"),
    "tool.length": () => viewer.setTool("length"),
    help: () => help.toggle(),
    pause: () => void session.pause(),
  };
  const NEED_PICTURE = /^(scroll|first|last|zoom|pan[XY]|width|level|preset|invert|reset|jump|marker|planes|nextPlane|removeLength|tool)/;
  /** @param {string} name @param {number} [arg] */
  function run(name, arg = 0) {
    if (NEED_PICTURE.test(name) && !viewer.shown) return;
    commands[name]?.(arg);
  }

  document.addEventListener("keydown", (event) => {
    session.clock.activity();
    const command = commandOf(event);
    if (!command) return;
    if (help.open) {
      if (command.name === "help") {
        event.preventDefault();
        help.close();
      }
      return;
    }
    const target = /** @type {HTMLElement} */ (event.target);
    if (target instanceof HTMLTextAreaElement) return;
    if (command.name === "confirm" && target.closest("button, a")) return; // its own Enter
    event.preventDefault();
    // Escape leaves the tags first; only from the picture does it undo the choice
    if (command.name === "escape" && target instanceof HTMLInputElement) viewer.focus();
    else run(command.name, command.arg);
  });
  for (const type of ["pointerdown", "pointermove", "wheel"]) {
    document.addEventListener(type, () => session.clock.activity(), { passive: true, capture: true });
  }
  document.addEventListener("visibilitychange", () => {
    const visible = document.visibilityState === "visible";
    session.clock.setVisible(visible);
    if (!visible) void session.saveDraft(true);
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // back from the browser's memory: ask the server anew
  });
  window.addEventListener("online", () => {
    queue.kick();
    session.retryFrames();
  });
  window.addEventListener("beforeunload", (event) => {
    // Only where leaving would lose something: answers that live in this page's memory alone.
    if (queue.unsent && store.kind === "memory") event.preventDefault();
  });

  exposeState({ viewer, session, queue, form });
  await session.begin();
}

/**
 * What tests and a curious reader may look at: state only, nothing to call, and no truth to find.
 * @param {{viewer: import("./viewer.js").Viewer, session: Session, queue: AnswerQueue, form: Form}} parts
 */
function exposeState({ viewer, session, queue, form }) {
  /** @type {Record<string, () => any>} */
  const state = {
    ready: () => viewer.shown && session.active !== null,
    loaded: () => session.active?.complete ?? false,
    slicesIn: () => session.active?.frames.done.size ?? 0,
    aheadLoaded: () => session.ahead?.complete ?? false,
    token: () => session.active?.c.token ?? null,
    position: () => session.active?.c.position ?? null,
    total: () => session.active?.c.total ?? null,
    slice: () => viewer.axial.slice,
    cursor: () => [...viewer.scene.cursor],
    shownSlice: () => session.engine.index,
    count: () => viewer.scene.dims[2],
    window: () => ({ ...viewer.scene.voi }),
    zoom: () => viewer.axial.zoom,
    tool: () => viewer.tool,
    planes: () => viewer.scene.threePlanes,
    lengths: () => viewer.scene.lengths.length,
    marker: () => viewer.scene.showMarker && viewer.scene.box !== null,
    rating: () => form.rating,
    locked: () => form.locked,
    unsent: () => queue.unsent,
    queue: () => queue.state,
    store: () => session.store.kind,
    state: () => session.worklist?.state ?? null,
    backend: () => session.engine.backend,
    backendReason: () => session.engine.reason,
    firstImageMs: () => session.record.firstImageMs,
    loadMs: () => session.record.loadMs,
    openedMs: () => session.openedMs,
    swapMs: () => session.swapMs,
    record: () => session.record.save(),
    clock: () => session.clock.save(),
  };
  const view = {};
  for (const [name, get] of Object.entries(state)) Object.defineProperty(view, name, { get, enumerable: true });
  Object.defineProperty(window, "__viewer", { value: Object.freeze(view) });
}

start().catch((error) => {
  console.error(error);
  const notice = new Notice();
  notice.show("The viewer did not start", `${error?.message ?? error} Reload the page; if that does not help, tell the study coordinator.`, [
    { label: "Reload", act: () => location.reload() },
  ]);
  document.getElementById("viewer-root")?.replaceChildren(notice.element);
});
