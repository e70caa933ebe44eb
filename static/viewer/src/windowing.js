/**
 * Window arithmetic after DICOM PS3.3 C.11.2.1.2.1 (LINEAR):
 * grey = ((HU - (c - 0.5)) / (w - 1) + 0.5) * 255, clipped to 0..255.
 */

/** @import {WindowPreset} from "./types.js" */

const HU_SPAN = 65536;
const HU_OFFSET = 32768;

/**
 * The HU range that a window spreads over the grey scale.
 * @param {number} center @param {number} width
 */
export function voiRange(center, width) {
  const w = Math.max(width, 2);
  return { lower: center - 0.5 - (w - 1) / 2, upper: center - 0.5 + (w - 1) / 2 };
}

/**
 * One RGBA word per int16 HU value, ready for an ImageData's Uint32 view.
 * @param {number} center @param {number} width @param {boolean} invert
 * @param {Uint32Array} [into] 65536 entries
 */
export function lookupTable(center, width, invert, into = new Uint32Array(HU_SPAN)) {
  const w = Math.max(width, 2);
  const opaque = 0xff000000;
  for (let i = 0; i < HU_SPAN; i++) {
    const hu = i - HU_OFFSET;
    let grey = Math.round(((hu - (center - 0.5)) / (w - 1) + 0.5) * 255);
    grey = grey < 0 ? 0 : grey > 255 ? 255 : grey;
    if (invert) grey = 255 - grey;
    into[i] = (opaque | (grey << 16) | (grey << 8) | grey) >>> 0;
  }
  return into;
}

/**
 * Window after a drag: to the right widens, down raises the level (darker), as on most PACS.
 * The speed follows the width, so that a lung window is as easy to set as a liver window.
 * @param {{center: number, width: number}} from @param {number} dx @param {number} dy CSS px
 */
export function dragWindow(from, dx, dy) {
  const speed = Math.min(8, Math.max(0.5, from.width / 300));
  return {
    center: clamp(Math.round(from.center + dy * speed), -2000, 4000),
    width: clamp(Math.round(from.width + dx * speed), 2, 6000),
  };
}

/**
 * The preset that a window is, if it is one.
 * @param {WindowPreset[]} presets @param {{center: number, width: number}} window
 */
export function presetName(presets, { center, width }) {
  return presets.find((p) => p.center === center && p.width === width)?.name ?? null;
}

/** @param {number} v @param {number} lo @param {number} hi */
export function clamp(v, lo, hi) {
  return v < lo ? lo : v > hi ? hi : v;
}
