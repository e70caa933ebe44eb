/**
 * The viewer for people who may know: one case of an unblinded trial with its truth beside it.
 * Nothing is answered and nothing is recorded here.
 */

import "./viewer.css";
import "./review.css";
import { CaseLoad } from "./case-load.js";
import { readConfig } from "./config.js";
import { h, setText } from "./dom.js";
import { Help } from "./help.js";
import { commandOf, HELP } from "./keys.js";
import { Notice } from "./notice.js";
import { unpack } from "./outline.js";
import { ReviewPanel } from "./review-panel.js";
import { Toolbar } from "./toolbar.js";

/** @import {Review} from "./types.js" */

const viewerModule = import("./viewer.js");

const KEYS = {
  title: "Review",
  rows: /** @type {[string[], string][]} */ ([
    [["N"], "Next case"],
    [["P"], "Previous case"],
    [["O"], "Hide or show the outline of the lesion"],
    [["Esc"], "Back to all cases"],
    [["?"], "This list"],
  ]),
};
const OUTLINE = { label: "Outline", key: "O", name: "outline", title: "Hide or show the outline of the lesion" };
const OWN = /** @type {Record<string, string>} */ ({ n: "next", p: "previous", o: "outline", escape: "list" });

async function start() {
  const root = document.getElementById("viewer-root");
  const raw = document.getElementById("viewer-config")?.textContent;
  if (!root || !raw) throw new Error("The page carries no case.");
  /** @type {Review} */
  const review = JSON.parse(raw);
  const config = readConfig({ api: "none", tools: review.tools, rendering: review.rendering });
  const notice = new Notice();
  const panel = new ReviewPanel(review);
  const { Viewer } = await viewerModule;
  const quiet = () => {};
  const viewer = new Viewer(config, {
    slice: quiet,
    want: (k) => load.frames.focus(k),
    window: quiet,
    zoom: quiet,
    contextLost: () => setText(panel.live, "The graphics card let go of the image; the viewer now draws without it."),
    length: quiet,
    planes: quiet,
    changed: () => toolbar?.update(),
  });
  const help = new Help(() => viewer.focus(), [KEYS, ...HELP.filter((g) => !["Answer", "Page"].includes(g.title))]);
  const toolbar = new Toolbar(viewer, (name, arg) => run(name, arg), review.outline ? [OUTLINE] : []);
  root.replaceChildren(
    h("div", { class: "rv-app" }, toolbar.element, h("div", { class: "rv-middle" }, viewer.element, notice.element), panel.element),
    help.element,
  );
  notice.show("", "Opening the case …", [], true);
  const engine = viewer.mount();

  const load = new CaseLoad(review.case, engine, {
    frame: (_, k) => void frameIn(k),
    complete: () => progress(),
    failed: (_, __, attempt, reason) => attempt > 1 && setText(panel.loading, `A slice does not load (${reason}); trying again.`),
  });
  viewer.open(review.case, load.ids);
  if (review.outline) viewer.scene.outline = unpack(review.outline);
  viewer.scene.moveTo(viewer.scene.lesion());
  showPressed();
  load.start(viewer.axial.slice);

  /** @param {number} k */
  async function frameIn(k) {
    if (k === viewer.axial.slice && !viewer.shown) {
      await viewer.show();
      notice.hide();
      viewer.focus();
    }
    viewer.frameIn(k);
    progress();
  }

  function progress() {
    const done = load.frames.done.size;
    const { count } = review.case.frames;
    setText(panel.loading, done === count ? `All ${count} slices are in` : `Slices ${done} of ${count}`);
  }

  function showPressed() {
    toolbar.extras.outline?.setAttribute("aria-pressed", String(viewer.scene.showOutline));
  }

  const go = (/** @type {string} */ url) => url && location.assign(url);
  /** @type {Record<string, (arg: number) => void>} */
  const commands = {
    next: () => go(review.nextUrl),
    previous: () => go(review.previousUrl),
    list: () => go(review.listUrl),
    outline: () => {
      if (!viewer.scene.outline) return;
      viewer.scene.showOutline = !viewer.scene.showOutline;
      for (const pane of viewer.panes) pane.overlay.draw();
      showPressed();
    },
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
  };
  const ALWAYS = new Set(["next", "previous", "list", "help"]);
  /** @param {string} name @param {number} [arg] */
  function run(name, arg = 0) {
    if (viewer.shown || ALWAYS.has(name)) commands[name]?.(arg);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (help.open) {
      if (event.key === "?") help.close();
      return;
    }
    const own = OWN[event.key.toLowerCase()];
    const command = own && !event.repeat ? { name: own, arg: 0 } : commandOf(event);
    if (!command || !(command.name in commands)) return;
    event.preventDefault();
    run(command.name, command.arg);
  });

  const state = {
    ready: () => viewer.shown,
    loaded: () => load.complete,
    slice: () => viewer.axial.slice,
    outline: () => viewer.scene.outline !== null && viewer.scene.showOutline,
    backend: () => engine.backend,
  };
  const view = {};
  for (const [name, get] of Object.entries(state)) Object.defineProperty(view, name, { get, enumerable: true });
  Object.defineProperty(window, "__viewer", { value: Object.freeze(view) });
}

start().catch((error) => {
  console.error(error);
  const notice = new Notice();
  notice.show("The viewer did not start", `${error?.message ?? error} Reload the page.`, [
    { label: "Reload", act: () => location.reload() },
  ]);
  document.getElementById("viewer-root")?.replaceChildren(notice.element);
});
