/**
 * The keyboard: what each key means, and the list that the help page shows.
 *
 * Digits answer, so window presets take Shift. Digits go by the place of the key, so that Shift+1
 * works on keyboards where that types "!" and a plain 1 on those where it types "&".
 */

/** @typedef {{name: string, arg?: number}} Command */

/** @type {{title: string, rows: [string[], string][]}[]} */
export const HELP = [
  {
    title: "Answer",
    rows: [
      [["1", "…", "6"], "Choose an answer"],
      [["Enter"], "Save it and go on: final"],
      [["Backspace"], "Undo the choice"],
      [["T"], "Tags: what struck you"],
      [["C"], "Comment"],
    ],
  },
  {
    title: "Move",
    rows: [
      [["↑", "↓"], "One slice towards head or feet (or wheel)"],
      [["PgUp", "PgDn"], "Ten slices"],
      [["Home", "End"], "First, last slice"],
      [["J"], "Jump to the lesion"],
      [["M"], "Three planes, on and off"],
      [["V"], "Next plane"],
    ],
  },
  {
    title: "Window",
    rows: [
      [["Shift", "1"], "Presets, in the order shown"],
      [["[", "]"], "Narrower, wider"],
      [[",", "."], "Lower, higher level"],
      [["I"], "Invert"],
    ],
  },
  {
    title: "Picture",
    rows: [
      [["+", "−"], "Zoom (or right button)"],
      [["Shift", "↑"], "Shift the picture (or middle button)"],
      [["R"], "Reset zoom, window and place"],
      [["H"], "Hide or show the lesion box"],
      [["L"], "Length; Delete removes the last one"],
      [["W"], "Left button sets the window"],
      [["S"], "Left button scrolls"],
    ],
  },
  {
    title: "Page",
    rows: [
      [["?"], "This list"],
      [["Shift", "P"], "Pause: your place is kept"],
      [["Tab"], "To every button"],
    ],
  },
];

/** @type {Record<string, Command>} */
const PLAIN = {
  Enter: { name: "confirm" },
  Backspace: { name: "undo" },
  Escape: { name: "escape" },
  ArrowUp: { name: "scroll", arg: -1 },
  ArrowDown: { name: "scroll", arg: 1 },
  ArrowLeft: { name: "scroll", arg: -1 },
  ArrowRight: { name: "scroll", arg: 1 },
  PageUp: { name: "scroll", arg: -10 },
  PageDown: { name: "scroll", arg: 10 },
  Home: { name: "first" },
  End: { name: "last" },
  Delete: { name: "removeLength" },
  "+": { name: "zoom", arg: 1 },
  "=": { name: "zoom", arg: 1 },
  "-": { name: "zoom", arg: -1 },
  "[": { name: "width", arg: -1 },
  "]": { name: "width", arg: 1 },
  ",": { name: "level", arg: -1 },
  ".": { name: "level", arg: 1 },
  "?": { name: "help" },
  c: { name: "comment" },
  h: { name: "marker" },
  i: { name: "invert" },
  j: { name: "jump" },
  l: { name: "tool.length" },
  m: { name: "planes" },
  r: { name: "reset" },
  s: { name: "tool.scroll" },
  t: { name: "tags" },
  v: { name: "nextPlane" },
  w: { name: "tool.window" },
};

/** @type {Record<string, Command>} */
const SHIFTED = {
  ArrowUp: { name: "panY", arg: 1 },
  ArrowDown: { name: "panY", arg: -1 },
  ArrowLeft: { name: "panX", arg: 1 },
  ArrowRight: { name: "panX", arg: -1 },
  P: { name: "pause" },
};

/** Commands that must not repeat while a key is held down. */
const ONCE = new Set(["confirm", "undo", "escape", "choose", "planes", "marker", "invert", "help", "pause", "removeLength"]);

/**
 * @param {{key: string, code: string, shiftKey: boolean, ctrlKey: boolean, altKey: boolean, metaKey: boolean, repeat: boolean}} event
 * @returns {Command | null}
 */
export function commandOf(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  const command = lookUp(event);
  return command && event.repeat && ONCE.has(command.name) ? null : command;
}

/** @param {{key: string, code: string, shiftKey: boolean}} event @returns {Command | null} */
function lookUp({ key, code, shiftKey }) {
  const digit = /^(Digit|Numpad)([1-9])$/.exec(code ?? "");
  if (digit) {
    const number = Number(digit[2]);
    if (digit[1] === "Digit" && shiftKey) return { name: "preset", arg: number };
    if (digit[1] === "Digit" || key === digit[2]) return { name: "choose", arg: number };
  }
  if (shiftKey && SHIFTED[key]) return SHIFTED[key];
  return PLAIN[key] ?? PLAIN[key.toLowerCase()] ?? null;
}
