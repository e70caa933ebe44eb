/**
 * The only file that knows Cornerstone3D: decoding frames and painting the axial image.
 *
 * A legacy STACK viewport over `wadors:` ids and our own metadata provider. Tools, marks and the
 * two other planes are ours, drawn above or beside it, and the same for both painters.
 */

import {
  Enums,
  RenderingEngine,
  cache,
  eventTarget,
  getRenderingCapabilities,
  imageLoadPoolManager,
  imageLoader,
  imageRetrievalPoolManager,
  init as initCore,
  metaData,
  setUseCPURendering,
} from "@cornerstonejs/core";
import { init as initLoader } from "@cornerstonejs/dicom-image-loader";

import { forgetCase, provider, registerCase } from "./metadata.js";
import { chooseBackend, pinPixelRatio } from "./render-policy.js";
import { voiRange } from "./windowing.js";

/** @import {Case, Point} from "./types.js" */
/** @import {StackViewport} from "@cornerstonejs/core" */

const ENGINE = "readerstudy";
const VIEWPORT = "axial";
const FRAME_TIMEOUT_MS = 60_000;
/** Two cases of 300 slices and some room; Cornerstone's default is 3 GB. */
const CACHE_BYTES = 1024 ** 3;

/** @type {boolean} */
let ready = false;

/** @param {"cpu"|"gpu"} backend */
function initOnce(backend) {
  if (ready) return;
  ready = true;
  initCore({
    debug: { statsOverlay: false },
    rendering: { useCPURendering: backend === "cpu", webGlContextCount: 1 },
  });
  initLoader({
    maxWebWorkers: Math.max(1, Math.min(4, Math.floor((navigator.hardwareConcurrency || 2) / 2))),
    beforeSend: (/** @type {XMLHttpRequest} */ xhr) => {
      xhr.timeout = FRAME_TIMEOUT_MS;
      return {};
    },
  });
  // The loader rejects twice when a request fails: to us, who try again, and once more to nobody.
  window.addEventListener("unhandledrejection", (event) => {
    if (event.reason instanceof XMLHttpRequest) event.preventDefault();
  });
  metaData.addProvider(provider, 10_000);
  cache.setMaxCacheSize(CACHE_BYTES);
  const { Interaction, Thumbnail, Prefetch } = Enums.RequestType;
  for (const pool of [imageLoadPoolManager, imageRetrievalPoolManager]) {
    // The default is a thousand at once: a jump to a far slice then waits ten seconds.
    pool.setMaxSimultaneousRequests(Interaction, 6);
    pool.setMaxSimultaneousRequests(Thumbnail, 4);
    pool.setMaxSimultaneousRequests(Prefetch, 4);
  }
}

/** @param {HTMLDivElement} element */
function openEngine(element) {
  const engine = new RenderingEngine(ENGINE);
  engine.enableElement({
    viewportId: VIEWPORT,
    type: Enums.ViewportType.STACK,
    element,
    defaultOptions: { background: [0, 0, 0] },
  });
  return engine;
}

/** @param {RenderingEngine} engine */
function viewportOf(engine) {
  return /** @type {StackViewport} */ (engine.getViewport(VIEWPORT));
}

/**
 * @typedef {object} EngineEvents
 * @property {() => void} rendered      a picture is on the canvas
 * @property {() => void} contextLost   the graphics card let go; the CPU painter took over
 */

export class Engine {
  /**
   * @param {HTMLDivElement} element
   * @param {"auto"|"cpu"|"gpu"} wish
   * @param {EngineEvents} events
   */
  constructor(element, wish, events) {
    this.element = element;
    this.events = events;
    const capabilities = getRenderingCapabilities();
    const { backend, reason } = chooseBackend(wish, capabilities);
    this.backend = backend;
    this.reason = reason;
    this.renderer = capabilities.renderer;
    /** @type {string[]} */
    this.imageIds = [];
    this.index = 0;
    this.voi = { center: 40, width: 400, invert: false };
    /** @type {(() => void) | null} */
    this.shown = null;
    if (backend === "cpu") pinPixelRatio();
    initOnce(backend);
    this.engine = openEngine(element);
    this.viewport = viewportOf(this.engine);
    element.addEventListener(Enums.Events.IMAGE_RENDERED, () => {
      if (this.imageIds.length) this.events.rendered();
    });
    eventTarget.addEventListener(Enums.Events.WEBGL_CONTEXT_LOST, () => this.#fallBack());
  }

  /** Without this the image freezes silently while the slice number moves on. */
  #fallBack() {
    if (this.backend === "cpu") return;
    this.backend = "cpu";
    this.reason = "context-lost";
    pinPixelRatio();
    this.engine.destroy();
    setUseCPURendering(true, false);
    this.engine = openEngine(this.element);
    this.viewport = viewportOf(this.engine);
    if (this.imageIds.length) void this.show(this.imageIds, this.index, this.voi);
    this.events.contextLost();
  }

  /** @param {Case} c */
  register(c) {
    return registerCase(c);
  }

  /**
   * Fetches and decodes one frame into the cache.
   * @param {string} id
   * @param {string} [again] makes the address new, past a damaged copy in the browser's cache
   */
  async load(id, again) {
    await imageLoader.loadAndCacheImage(id, {
      priority: 0,
      requestType: Enums.RequestType.Prefetch,
      ...(again ? { retrieveOptions: { urlArguments: again } } : {}),
    });
  }

  /** Decoded HU of a frame, row by row; null until it is in. @param {string} id */
  pixels(id) {
    return /** @type {Int16Array|null} */ (cache.getImage(id)?.voxelManager?.getScalarData() ?? null);
  }

  /** Frees a case's frames. @param {string[]} ids */
  release(ids) {
    for (const id of ids) {
      if (cache.getImageLoadObject(id)) cache.removeImageLoadObject(id, { force: true });
    }
    forgetCase(ids);
  }

  /**
   * Puts a case on the screen, fitted, at a slice that is already in.
   * @param {string[]} ids @param {number} index
   * @param {{center: number, width: number, invert: boolean}} voi
   */
  async show(ids, index, voi) {
    this.imageIds = ids;
    this.index = index;
    await this.viewport.setStack(ids, index);
    this.setWindow(voi);
    this.fit();
  }

  /** @param {number} index of a frame that is in */
  setSlice(index) {
    this.index = index;
    this.viewport.setImageIdIndex(index).catch(() => {});
  }

  /** @param {{center: number, width: number, invert: boolean}} voi */
  setWindow(voi) {
    this.voi = voi;
    this.viewport.setProperties({ voiRange: voiRange(voi.center, voi.width), invert: voi.invert });
    this.viewport.render();
  }

  fit() {
    this.viewport.resetCamera();
    this.fitted = this.#scale();
    this.viewport.render();
  }

  /** 1 where the whole image just fits. */
  get zoom() {
    return this.fitted ? this.#scale() / this.fitted : 1;
  }

  /** CSS px per image column. */
  #scale() {
    const [x0] = this.toCanvas(0, 0);
    const [x1] = this.toCanvas(100, 0);
    return (x1 - x0) / 100;
  }

  /** @param {number} factor @param {Point} at the point that stays where it is, CSS px */
  zoomBy(factor, at) {
    if (!this.imageIds.length) return;
    const before = this.viewport.canvasToWorld(at);
    const camera = this.viewport.getCamera();
    if (this.backend === "cpu") {
      // `scale` is the CPU painter's own word for zoom; it is not in the camera's type
      const { scale } = /** @type {{scale?: number}} */ (camera);
      this.viewport.setCamera(/** @type {object} */ ({ scale: (scale ?? 1) * factor }));
    } else {
      this.viewport.setCamera({ parallelScale: (camera.parallelScale ?? 1) / factor });
    }
    const after = this.viewport.canvasToWorld(at);
    this.#shift(before.map((v, i) => v - after[i]));
  }

  /** @param {number} dx @param {number} dy CSS px */
  panBy(dx, dy) {
    if (!this.imageIds.length) return;
    const from = this.viewport.canvasToWorld([0, 0]);
    const to = this.viewport.canvasToWorld([dx, dy]);
    this.#shift(from.map((v, i) => v - to[i]));
  }

  /** @param {number[]} delta mm */
  #shift(delta) {
    const { focalPoint, position } = this.viewport.getCamera();
    if (!focalPoint || !position) return;
    const add = (/** @type {number[]} */ p) =>
      /** @type {[number, number, number]} */ (p.map((v, i) => v + delta[i]));
    this.viewport.setCamera(
      this.backend === "cpu"
        ? { focalPoint: add(focalPoint) }
        : { focalPoint: add(focalPoint), position: add(position) },
    );
    this.viewport.render();
  }

  /**
   * CSS px of an image position (columns, rows; whole numbers are voxel centers).
   * @param {number} i @param {number} j @returns {Point}
   */
  toCanvas(i, j) {
    const grid = this.viewport.getImageData();
    if (!grid) return [0, 0];
    const { origin, spacing } = grid;
    const half = this.#half;
    return /** @type {Point} */ (
      this.viewport.worldToCanvas([
        origin[0] + (i + half) * spacing[0],
        origin[1] + (j + half) * spacing[1],
        origin[2],
      ])
    );
  }

  /** @param {number} x @param {number} y @returns {Point} */
  toImage(x, y) {
    const grid = this.viewport.getImageData();
    if (!grid) return [0, 0];
    const { origin, spacing } = grid;
    const world = this.viewport.canvasToWorld([x, y]);
    const half = this.#half;
    return [(world[0] - origin[0]) / spacing[0] - half, (world[1] - origin[1]) / spacing[1] - half];
  }

  /** The CPU painter counts from a pixel's corner, the GPU painter from its center. */
  get #half() {
    return this.backend === "cpu" ? 0.5 : 0;
  }

  /** After the element changed its size. */
  resize() {
    this.engine.resize(true, false);
    if (this.imageIds.length) this.fit();
  }
}
