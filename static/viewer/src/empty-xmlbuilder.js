/** Stands in for xmlbuilder2 (see vite.config.js): no XML is read or written here. */

export function create() {
  throw new Error("XML is not part of this bundle.");
}
