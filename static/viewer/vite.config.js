import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Frames are JPEG-LS and nothing else, so the other codecs stay out: 2 MB less to commit, and no
 * decoder in the page that no frame of ours should ever reach.
 */
function onlyJpegLs() {
  const unused = /dicom-image-loader\/dist\/esm\/shared\/decoders\/decode(JPEGBaseline8Bit|JPEGBaseline12Bit-js|JPEGLossless|JPEG2000|HTJ2K|JPEGXL)\.js$/;
  let left = 0;
  return {
    name: "only-jpeg-ls",
    enforce: "pre",
    load(id) {
      const match = unused.exec(id);
      if (!match) return null;
      left += 1;
      return `
        export function initialize() { return Promise.resolve(); }
        export default async function decode() { throw new Error("${match[1]} is not part of this bundle."); }
      `;
    },
    buildEnd() {
      if (left < 6) throw new Error("The image loader keeps its decoders elsewhere now: mend onlyJpegLs.");
    },
  };
}

export default defineConfig({
  // relative addresses: the same files work under any STATIC_URL and any sub-path
  base: "./",
  plugins: [onlyJpegLs()],
  resolve: {
    alias: {
      // vtk.js reaches it through an XML reader that is never used here; the real one needs node's
      // `events`, and without that the bundle dies at load
      xmlbuilder2: here("./src/empty-xmlbuilder.js"),
    },
  },
  worker: { format: "es", plugins: () => [onlyJpegLs()] },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    // collectstatic skips names that start with a dot, and vite's own default is .vite/
    manifest: "manifest.json",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 4000,
    // three pages: readers get main and never fetch review, which shows what a case is, nor
    // findings, which shows what a network found
    rollupOptions: {
      input: {
        main: here("./src/main.js"),
        review: here("./src/review.js"),
        findings: here("./src/findings.js"),
      },
    },
  },
});
