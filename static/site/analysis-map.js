// Readers by cases, one cell an answer. Drawn on a canvas because 100 readers and 500 cases are
// 50,000 cells. Pointer and arrow keys tell each cell in words; Enter and click open its case.

const data = JSON.parse(document.getElementById("map-data").textContent);
const box = document.getElementById("reader-map");
const canvas = box.querySelector("canvas");
const readout = document.getElementById("map-readout");
const paint = canvas.getContext("2d");
const MACHINES = data.readers.length - data.humans; // the last rows
const name = (r) => data.titles[data.readers[r]] ?? data.readers[r];
const LABELS = MACHINES ? 132 : 52; // room for reader codes or names of machines, CSS px
const APART = MACHINES ? 8 : 0; // between readers and machines
const STRIP = 10; // the strip of arms above the cells
const styles = getComputedStyle(box);
const color = (name) => styles.getPropertyValue(name).trim();
const WRONG = ["--map-wrong-1", "--map-wrong-2", "--map-wrong-3"].map(color);
const RIGHT = ["--map-right-1", "--map-right-2", "--map-right-3"].map(color);

let at = null; // [reader, case] under the pointer or the keys
let cell = { width: 1, height: 1 };

const topOf = (r) => STRIP + r * cell.height + (r >= data.humans ? APART : 0);
const number = (k) => Number(data.cases[k].replace(/^C0*/, ""));
const isSynthetic = (k) => data.truth[k] === "s";

function answer(r, k) {
  const sign = data.ratings[r][k];
  if (sign === ".") return null;
  const rating = Number(sign);
  const saidSynthetic = rating >= 4;
  return {
    rating,
    wrong: saidSynthetic !== isSynthetic(k),
    sureness: saidSynthetic ? rating - 4 : 3 - rating, // 0 possibly, 1 probably, 2 definitely
  };
}

function draw() {
  const width = box.clientWidth;
  const columns = data.cases.length;
  const rows = data.readers.length;
  cell = {
    width: Math.max(2, Math.min(48, (width - LABELS) / columns)),
    height: Math.max(5, Math.min(20, 560 / rows)),
  };
  const ratio = window.devicePixelRatio || 1;
  const size = [LABELS + columns * cell.width, STRIP + rows * cell.height + APART + 2];
  canvas.width = Math.round(size[0] * ratio);
  canvas.height = Math.round(size[1] * ratio);
  canvas.style.width = `${size[0]}px`;
  canvas.style.height = `${size[1]}px`;
  paint.setTransform(canvas.width / size[0], 0, 0, canvas.height / size[1], 0, 0);
  paint.clearRect(0, 0, ...size);
  const gap = cell.width > 6 ? 1 : 0;
  const gapDown = cell.height > 8 ? 1 : 0;
  for (let k = 0; k < columns; k++) {
    paint.fillStyle = isSynthetic(k) ? color("--warn") : color("--line-strong");
    paint.fillRect(LABELS + k * cell.width, isSynthetic(k) ? 0 : 4, cell.width - gap, isSynthetic(k) ? 7 : 3);
  }
  paint.textBaseline = "middle";
  const every = Math.ceil(11 / cell.height); // name as many readers as can be read
  paint.font = `${Math.min(12, cell.height * every)}px ${styles.fontFamily}`;
  for (let r = 0; r < rows; r++) {
    const top = topOf(r);
    paint.fillStyle = color("--muted");
    if (r % every === 0 || r >= data.humans) paint.fillText(name(r), 2, top + cell.height / 2);
    for (let k = 0; k < columns; k++) {
      const given = answer(r, k);
      if (!given) continue;
      paint.fillStyle = (given.wrong ? WRONG : RIGHT)[given.sureness];
      paint.fillRect(LABELS + k * cell.width, top, cell.width - gap, cell.height - gapDown);
    }
  }
  if (at) {
    const [r, k] = at;
    paint.strokeStyle = color("--text");
    paint.lineWidth = 2;
    paint.strokeRect(LABELS + k * cell.width, topOf(r), cell.width, cell.height);
  }
}

function say() {
  const [r, k] = at;
  const given = answer(r, k);
  const said = given
    ? `${name(r)} answered “${data.labels[given.rating - 1].toLowerCase()}”: ${given.wrong ? "misled" : "right"}.`
    : `${name(r)} did not read it.`;
  readout.textContent = `${data.cases[k]}, ${data.facts[k]}. ${said}`;
}

function move(r, k) {
  const next = [
    Math.max(0, Math.min(data.readers.length - 1, r)),
    Math.max(0, Math.min(data.cases.length - 1, k)),
  ];
  if (at && at[0] === next[0] && at[1] === next[1]) return;
  at = next;
  draw();
  say();
}

function open() {
  if (!at) return;
  const address = data.address.replace("{n}", number(at[1]));
  window.location.assign(data.query ? `${address}?${data.query}` : address);
}

function under(event) {
  const place = canvas.getBoundingClientRect();
  const k = Math.floor((event.clientX - place.left - LABELS) / cell.width);
  const down = event.clientY - place.top - STRIP;
  const apart = data.humans * cell.height;
  if (MACHINES && down >= apart && down < apart + APART) return null;
  const r = Math.floor((down < apart ? down : down - APART) / cell.height);
  const inside = k >= 0 && r >= 0 && k < data.cases.length && r < data.readers.length;
  return inside ? [r, k] : null;
}

canvas.addEventListener("pointermove", (event) => {
  const found = under(event);
  canvas.classList.toggle("on-cell", found !== null);
  if (found) move(...found);
});
canvas.addEventListener("click", (event) => {
  const found = under(event);
  if (!found) return;
  move(...found);
  open();
});

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
box.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const [r, k] = at ?? [0, 0];
  if (event.key === "Enter") open();
  else if (event.key === "Home") move(r, 0);
  else if (event.key === "End") move(r, data.cases.length - 1);
  else if (STEPS[event.key]) move(...(at ? [r + STEPS[event.key][0], k + STEPS[event.key][1]] : [0, 0]));
  else return;
  event.preventDefault();
});

new ResizeObserver(draw).observe(box);
