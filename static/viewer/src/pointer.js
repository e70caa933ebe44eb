/**
 * Mouse, pen and fingers on a plane, mapped as on most PACS:
 * left the chosen tool, middle shifts, right zooms, the wheel scrolls, one finger scrolls, two
 * fingers zoom and shift.
 */

/** @import {Pane} from "./overlay.js" */
/** @import {Viewer} from "./viewer.js" */
/** @import {Point} from "./types.js" */

/** @typedef {"window"|"scroll"|"length"|"point"} Tool */

/** @typedef {{move: (at: Point, dx: number, dy: number) => void, end?: () => void}} Drag */

const ZOOM_PER_PX = 1.006;
const PRIMARY = 0;
const MIDDLE = 1;
const SECONDARY = 2;

/** @param {Pane} pane @param {Viewer} viewer */
export function attachPointer(pane, viewer) {
  const { element } = pane;
  /** @type {Map<number, Point>} */
  const down = new Map();
  /** @type {Drag | null} */
  let drag = null;
  let wheel = 0;

  /** @param {MouseEvent} event @returns {Point} */
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  element.addEventListener("contextmenu", (event) => event.preventDefault());

  element.addEventListener("pointerdown", (event) => {
    const at = place(event);
    element.setPointerCapture(event.pointerId);
    viewer.activate(pane);
    down.set(event.pointerId, at);
    if (event.pointerType === "touch") {
      drag?.end?.();
      drag = down.size > 1 ? null : scrollDrag(pane, viewer);
    } else {
      drag = startDrag(event.button, at, pane, viewer);
    }
    event.preventDefault();
    element.focus({ preventScroll: true });
  });

  element.addEventListener("pointermove", (event) => {
    const at = place(event);
    const before = down.get(event.pointerId);
    if (!before) {
      viewer.hover(pane, at);
      return;
    }
    if (down.size === 2) pinch(down, event.pointerId, at, pane);
    else drag?.move(at, at[0] - before[0], at[1] - before[1]);
    down.set(event.pointerId, at);
  });

  const up = (/** @type {PointerEvent} */ event) => {
    if (!down.delete(event.pointerId)) return;
    drag?.end?.();
    drag = null;
    viewer.settled();
  };
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("pointerleave", () => viewer.hover(pane, null));

  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      viewer.activate(pane);
      if (event.ctrlKey) {
        pane.zoomBy(ZOOM_PER_PX ** -event.deltaY, place(event));
        viewer.settled();
        return;
      }
      const [steps, rest] = wheelSteps(event.deltaMode === 1 ? event.deltaY * 40 : event.deltaY, wheel);
      wheel = rest;
      if (steps) viewer.scroll(steps);
    },
    { passive: false },
  );
}

/**
 * Slices for one wheel event: a notch of a wheel is one slice whatever its size, a touchpad's
 * trickle adds up.
 * @param {number} delta px @param {number} rest left over from before @returns {[number, number]}
 */
export function wheelSteps(delta, rest) {
  if (Math.abs(delta) >= 60) return [Math.sign(delta) * Math.max(1, Math.round(Math.abs(delta) / 120)), 0];
  const sum = Math.sign(delta) === Math.sign(rest) ? rest + delta : delta;
  const steps = Math.trunc(sum / 24) || 0; // never -0
  return [steps, sum - steps * 24];
}

/**
 * @param {number} button @param {Point} at @param {Pane} pane @param {Viewer} viewer
 * @returns {Drag | null}
 */
function startDrag(button, at, pane, viewer) {
  if (button === MIDDLE) return { move: (_, dx, dy) => pane.panBy(dx, dy) };
  if (button === SECONDARY) return { move: (_, __, dy) => pane.zoomBy(ZOOM_PER_PX ** -dy, at) };
  if (button !== PRIMARY) return null;
  switch (viewer.tool) {
    case "scroll":
      return scrollDrag(pane, viewer);
    case "length":
      return lengthDrag(at, pane, viewer);
    case "point":
      viewer.pointAt(pane, at);
      return { move: (to) => viewer.pointAt(pane, to) };
    default:
      return { move: (_, dx, dy) => viewer.dragWindow(dx, dy) };
  }
}

/** @param {Pane} pane @param {Viewer} viewer @returns {Drag} */
function scrollDrag(pane, viewer) {
  const perSlice = Math.max(3, pane.element.clientHeight / 200);
  let rest = 0;
  return {
    move: (_, __, dy) => {
      rest += dy;
      const steps = Math.trunc(rest / perSlice);
      rest -= steps * perSlice;
      if (steps) viewer.scroll(steps);
    },
  };
}

/** @param {Point} at @param {Pane} pane @param {Viewer} viewer @returns {Drag} */
function lengthDrag(at, pane, viewer) {
  const a = pane.toIndex(at);
  const length = { plane: pane.plane, slice: pane.slice, a, b: a };
  let far = false;
  return {
    move: (to) => {
      length.b = pane.toIndex(to);
      if (!far && Math.hypot(to[0] - at[0], to[1] - at[1]) > 3) {
        far = true;
        viewer.addLength(length);
      }
      pane.overlay.draw();
    },
  };
}

/**
 * @param {Map<number, Point>} down @param {number} id @param {Point} at @param {Pane} pane
 */
function pinch(down, id, at, pane) {
  const before = [...down.values()];
  const after = [...down].map(([key, p]) => (key === id ? at : p));
  const span = (/** @type {Point[]} */ [p, q]) => Math.hypot(p[0] - q[0], p[1] - q[1]);
  const middle = (/** @type {Point[]} */ [p, q]) =>
    /** @type {Point} */ ([(p[0] + q[0]) / 2, (p[1] + q[1]) / 2]);
  const [from, to] = [middle(before), middle(after)];
  pane.panBy(to[0] - from[0], to[1] - from[1]);
  if (span(before) > 10) pane.zoomBy(span(after) / span(before), to);
}
