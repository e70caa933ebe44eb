/**
 * Tells Cornerstone about our frames. No DICOM header reaches the browser: what the decoder and the
 * painter must know is the pixel format and the grid, and those are the same for every case.
 */

/** @import {Case} from "./types.js" */

/** @type {Map<string, {c: Case, k: number}>} */
const known = new Map();

const ORIENTATION = [1, 0, 0, 0, 1, 0];

/** @param {Case} c @returns {string[]} image ids in frame order */
export function registerCase(c) {
  const base = new URL(c.frames.url, location.href).href;
  return Array.from({ length: c.frames.count }, (_, k) => {
    const id = `wadors:${base}${k}`;
    known.set(id, { c, k });
    return id;
  });
}

/** @param {string[]} ids */
export function forgetCase(ids) {
  for (const id of ids) known.delete(id);
}

/** A Cornerstone metadata provider. @param {string} type @param {string} id */
export function provider(type, id) {
  const entry = typeof id === "string" ? known.get(id) : undefined;
  if (!entry) return undefined;
  const { c, k } = entry;
  const { image } = c;
  switch (type) {
    case "imagePixelModule":
      return {
        samplesPerPixel: 1,
        photometricInterpretation: "MONOCHROME2",
        rows: image.rows,
        columns: image.columns,
        bitsAllocated: image.bitsAllocated,
        bitsStored: image.bitsAllocated,
        highBit: image.bitsAllocated - 1,
        pixelRepresentation: image.pixelRepresentation,
      };
    case "imagePlaneModule":
      return {
        frameOfReferenceUID: c.token,
        rows: image.rows,
        columns: image.columns,
        imageOrientationPatient: ORIENTATION,
        rowCosines: ORIENTATION.slice(0, 3),
        columnCosines: ORIENTATION.slice(3),
        imagePositionPatient: [0, 0, k * image.sliceSpacing],
        sliceLocation: k * image.sliceSpacing,
        sliceThickness: image.sliceSpacing,
        pixelSpacing: image.pixelSpacing,
        rowPixelSpacing: image.pixelSpacing[0],
        columnPixelSpacing: image.pixelSpacing[1],
        usingDefaultValues: false,
      };
    case "voiLutModule": {
      const first = c.windows[0] ?? { center: 40, width: 400 };
      // a list: the loader takes element 0, of a bare string its first letter
      return { windowCenter: [first.center], windowWidth: [first.width], voiLUTFunction: ["LINEAR"] };
    }
    case "modalityLutModule":
      return {
        rescaleSlope: image.rescaleSlope ?? 1,
        rescaleIntercept: image.rescaleIntercept ?? 0,
        rescaleType: "HU",
      };
    case "generalSeriesModule":
      return { modality: "CT", seriesInstanceUID: c.token, studyInstanceUID: c.token };
    case "sopCommonModule":
      return { sopClassUID: "1.2.840.10008.5.1.4.1.1.2", sopInstanceUID: id };
    case "scalingModule":
    case "calibrationModule":
      return {};
    default:
      return undefined;
  }
}
