/**
 * Which of Cornerstone's two painters draws the axial image.
 *
 * A software "GPU" (SwiftShader, llvmpipe) scrolls at 10 images a second where the CPU painter
 * reaches 60, and reading rooms behind Citrix or RDP often have no WebGL at all. So: the GPU only
 * where there is a real one, or where the protocol insists and WebGL exists at all.
 */

/**
 * @param {"auto"|"cpu"|"gpu"} wish
 * @param {{webgl: boolean, webgl2?: boolean, softwareRasterizer: boolean, maxTextureSize?: number}} machine
 * @returns {{backend: "cpu"|"gpu", reason: string}}
 */
export function chooseBackend(wish, machine) {
  if (wish === "cpu") return { backend: "cpu", reason: "protocol" };
  if (!machine.webgl || machine.webgl2 === false) return { backend: "cpu", reason: "no-webgl" };
  if (wish === "gpu") return { backend: "gpu", reason: "protocol" };
  if (machine.softwareRasterizer) return { backend: "cpu", reason: "software-gpu" };
  if ((machine.maxTextureSize ?? 4096) < 2048) return { backend: "cpu", reason: "small-gpu" };
  return { backend: "gpu", reason: "gpu" };
}

/**
 * Cornerstone's CPU painter sizes its canvas in CSS pixels but divides coordinates by the device
 * pixel ratio, so at 125 % every mark lands in the wrong place. With the ratio pinned to 1 before
 * the engine is made, both agree. (GPU path: leave it alone.)
 */
export function pinPixelRatio() {
  Object.defineProperty(window, "devicePixelRatio", { configurable: true, get: () => 1 });
}
