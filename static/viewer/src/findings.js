/**
 * The viewer for coordinators: a volume of the library, and what a network found in it. Nothing is
 * answered and nothing is recorded here, and no reader's page is made of this.
 */

import "./viewer.css";
import "./findings.css";
import { CaseLoad } from "./case-load.js";
import { readConfig } from "./config.js";
import { h, setText } from "./dom.js";
import { FindingsPanel } from "./findings-panel.js";
import { Help } from "./help.js";
import { commandOf, HELP } from "./keys.js";
import { Notice } from "./notice.js";
import { unpack } from "./outline.js";
import { Toolbar } from "./toolbar.js";

/** @import {Findings} from "./types.js" */

const viewerModule = import("./viewer.js");

const KEYS = {
  title: "Findings",
  rows: /** @type {[string[], string][]} */ ([
    [["N"], "Next finding"],
    [["P"], "Previous finding"],
    [["O"], "Hide or show the outline"],
    [["Shift", "N"], "Next volume"],
    [["Shift", "P"], "Previous volume"],
    [["Esc"], "Back to the run"],
    [["?"], "This list"],
  ]),
};
const OUTLINE = { label: "Outline", key: "O", name: "outline", title: "Hide or show the outline of the finding" };
const OWN = /** @type {Record<string, string>} */ ({ n: "next", p: "previous", N: "nextVolume", P: "previousVolume", o: "outline", O: "outline", Escape: "list" });

async function start() {
  const root = document.getElementById("viewer-root");
  const raw = document.getElementById("viewer-config")?.textContent;
  if (!root || !raw) throw new Error("The page carries no volume.");
  /** @type {Findings} */
  const page = JSON.parse(raw);
  const config = readConfig({ api: "none", tools: page.tools, rendering: page.rendering });
  const notice = new Notice();
  const panel = new FindingsPanel(page, (at) => choose(at));
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
  const toolbar = new Toolbar(viewer, (name, arg) => run(name, arg), page.findings.length ? [OUTLINE] : []);
  root.replaceChildren(
    h("div", { class: "rv-app" }, toolbar.element, h("div", { class: "rv-middle" }, viewer.element, notice.element), panel.element),
    help.element,
  );
  notice.show("", "Opening the volume …", [], true);
  const engine = viewer.mount();

  const load = new CaseLoad(page.case, engine, {
    frame: (_, k) => void frameIn(k),
    complete: () => progress(),
    failed: (_, __, attempt, reason) => attempt > 1 && setText(panel.loading, `A slice does not load (${reason}); trying again.`),
  });
  viewer.open(page.case, load.ids);
  let at = -1;
  let first = true;
  if (page.findings.length) choose(page.first - 1);
  showPressed();
  load.start(viewer.axial.slice);

  /** Goes to a finding: its outline is drawn, and the planes go through its middle. @param {number} i */
  function choose(i) {
    at = (i + page.findings.length) % page.findings.length;
    const outline = unpack(page.findings[at].outline);
    viewer.scene.outline = outline;
    // where "To lesion" leads; the box itself stays hidden until it is asked for
    viewer.scene.box = outline.box;
    if (first) viewer.scene.showMarker = false;
    first = false;
    if (viewer.shown) viewer.jump();
    else viewer.scene.moveTo(viewer.scene.lesion());
    panel.show(at);
    toolbar.update();
  }

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
    const { count } = page.case.frames;
    setText(panel.loading, done === count ? `All ${count} slices are in` : `Slices ${done} of ${count}`);
  }

  function showPressed() {
    toolbar.extras.outline?.setAttribute("aria-pressed", String(viewer.scene.showOutline));
  }

  const go = (/** @type {string} */ url) => url && location.assign(url);
  const step = (/** @type {number} */ by) => page.findings.length && choose(at + by);
  /** @type {Record<string, (arg: number) => void>} */
  const commands = {
    next: () => step(1),
    previous: () => step(-1),
    nextVolume: () => go(page.nextUrl),
    previousVolume: () => go(page.previousUrl),
    list: () => go(page.listUrl),
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
  const ALWAYS = new Set(["next", "previous", "nextVolume", "previousVolume", "list", "help"]);
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
    const own = OWN[event.key];
    const command = own && !event.repeat ? { name: own, arg: 0 } : commandOf(event);
    if (!command || !(command.name in commands)) return;
    event.preventDefault();
    run(command.name, command.arg);
  });

  const state = {
    ready: () => viewer.shown,
    loaded: () => load.complete,
    slice: () => viewer.axial.slice,
    finding: () => (at < 0 ? null : page.findings[at].number),
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
