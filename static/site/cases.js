// Curation of one candidate: three planes from a block of int16 HU, before/after line, keys.
// The block's format is told in readerstudy/cases/display.py.

const config = JSON.parse(document.getElementById("candidate-config").textContent);
const $ = (id) => document.getElementById(id);

const PLANES = {
  // Axes of the block shown across and down, the axis scrolled, and letters of the four edges.
  axial: { across: "x", down: "y", along: "z", flip: false, letters: "RLAP" },
  coronal: { across: "x", down: "z", along: "y", flip: true, letters: "RLSI" },
  sagittal: { across: "y", down: "z", along: "x", flip: true, letters: "APSI" },
};
const AXES = ["x", "y", "z"];

const view = {
  block: null,
  cursor: { x: 0, y: 0, z: 0 },
  window: 0,
  split: 0, // share of the width that shows the scan before the change
  outline: false,
  active: "axial",
};

async function load() {
  const response = await fetch(config.block, { headers: { Accept: "application/octet-stream" } });
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail ?? `HTTP ${response.status}`);
  const buffer = await response.arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const [nz, ny, nx] = header.shape;
  const [[x0, x1], [y0, y1], [z0, z1]] = header.box;
  const inner = (x1 - x0) * (y1 - y0) * (z1 - z0);
  let at = 4 + size;
  const before = new Int16Array(buffer, at, nx * ny * nz);
  at += before.byteLength;
  const residual = new Int16Array(buffer, at, inner);
  at += residual.byteLength;
  const lesion = new Uint8Array(buffer, at, inner);
  const after = before.slice();
  const mask = new Uint8Array(before.length);
  for (let z = z0, k = 0; z < z1; z++) {
    for (let y = y0; y < y1; y++) {
      const row = (z * ny + y) * nx;
      for (let x = x0; x < x1; x++, k++) {
        mask[row + x] = lesion[k];
        if (residual[k]) after[row + x] = Math.max(-1024, Math.min(3071, before[row + x] + residual[k]));
      }
    }
  }
  const size3 = { x: nx, y: ny, z: nz };
  const spacing = { x: header.spacing[0], y: header.spacing[1], z: header.spacing[2] };
  return { before, after, mask, size: size3, spacing, changed: header.changed, stride: { x: 1, y: nx, z: nx * ny } };
}

function center(block) {
  const sum = { x: 0, y: 0, z: 0 };
  let count = 0;
  for (let i = 0; i < block.mask.length; i++) {
    if (!block.mask[i]) continue;
    sum.x += i % block.size.x;
    sum.y += Math.floor(i / block.size.x) % block.size.y;
    sum.z += Math.floor(i / (block.size.x * block.size.y));
    count++;
  }
  return Object.fromEntries(AXES.map((axis) => [axis, Math.round(sum[axis] / count)]));
}

// ---------------------------------------------------------------------------------- drawing

/** Where a plane lies on its canvas: offset and scale in device pixels, aspect true in mm. */
function layout(canvas, plane) {
  const { size, spacing } = view.block;
  const w = size[plane.across] * spacing[plane.across];
  const h = size[plane.down] * spacing[plane.down];
  const scale = Math.min(canvas.width / w, canvas.height / h);
  return {
    left: (canvas.width - w * scale) / 2,
    top: (canvas.height - h * scale) / 2,
    width: w * scale,
    height: h * scale,
    px: (w * scale) / size[plane.across],
    py: (h * scale) / size[plane.down],
  };
}

const scratch = document.createElement("canvas");

function draw(canvas) {
  const plane = PLANES[canvas.dataset.plane];
  const { block, cursor } = view;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const place = layout(canvas, plane);
  const columns = block.size[plane.across];
  const rows = block.size[plane.down];
  // The line is straight on the screen: it cuts the canvas, not the voxels.
  const line = canvas.width * view.split;
  paint(context, plane, block.after, rows, columns, place, line, canvas.width);
  paint(context, plane, block.before, rows, columns, place, 0, line);
  if (view.outline) outline(context, plane, rows, columns, place, ratio);
  decorate(context, canvas, plane, place, line, ratio);
  context.fillStyle = "#9aa7b5";
  context.fillText(`${cursor[plane.along] + 1}/${block.size[plane.along]}`, 10 * ratio, canvas.height - 10 * ratio);
}

function paint(context, plane, source, rows, columns, place, from, to) {
  if (to <= from) return;
  const { stride, size } = view.block;
  const { center: c, width } = config.windows[view.window];
  const low = c - width / 2;
  scratch.width = columns;
  scratch.height = rows;
  const pen = scratch.getContext("2d");
  const image = pen.createImageData(columns, rows);
  const base = view.cursor[plane.along] * stride[plane.along];
  for (let row = 0, k = 0; row < rows; row++) {
    const down = plane.flip ? size[plane.down] - 1 - row : row;
    let i = base + down * stride[plane.down];
    for (let column = 0; column < columns; column++, k += 4, i += stride[plane.across]) {
      const grey = ((source[i] - low) / width) * 255; // clamped by the array
      image.data[k] = image.data[k + 1] = image.data[k + 2] = grey;
      image.data[k + 3] = 255;
    }
  }
  pen.putImageData(image, 0, 0);
  context.save();
  context.beginPath();
  context.rect(from, 0, to - from, context.canvas.height);
  context.clip();
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(scratch, place.left, place.top, place.width, place.height);
  context.restore();
}

function outline(context, plane, rows, columns, place, ratio) {
  const { mask, stride, size } = view.block;
  const base = view.cursor[plane.along] * stride[plane.along];
  const at = (row, column) => {
    if (row < 0 || column < 0 || row >= rows || column >= columns) return 0;
    const down = plane.flip ? size[plane.down] - 1 - row : row;
    return mask[base + down * stride[plane.down] + column * stride[plane.across]];
  };
  context.beginPath();
  for (let row = 0; row <= rows; row++) {
    for (let column = 0; column <= columns; column++) {
      const here = at(row, column);
      const x = place.left + column * place.px;
      const y = place.top + row * place.py;
      if (here !== at(row, column - 1)) { context.moveTo(x, y); context.lineTo(x, y + place.py); }
      if (here !== at(row - 1, column)) { context.moveTo(x, y); context.lineTo(x + place.px, y); }
    }
  }
  context.strokeStyle = "#e0b050";
  context.lineWidth = 1.25 * ratio;
  context.stroke();
}

function decorate(context, canvas, plane, place, line, ratio) {
  const [left, right, top, bottom] = plane.letters;
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.fillStyle = "#c3ccd6";
  context.textAlign = "center";
  context.textBaseline = "middle";
  const [mx, my] = [canvas.width / 2, canvas.height / 2];
  context.fillText(left, 12 * ratio, my);
  context.fillText(right, canvas.width - 12 * ratio, my);
  context.fillText(top, mx, 14 * ratio);
  context.fillText(bottom, mx, canvas.height - 14 * ratio);
  // Short ticks at the rim show where the other two planes cut, without hiding the lesion.
  const cut = (axis, flip) => (flip ? view.block.size[axis] - 1 - view.cursor[axis] : view.cursor[axis]) + 0.5;
  const x = place.left + cut(plane.across, false) * place.px;
  const y = place.top + cut(plane.down, plane.flip) * place.py;
  const tick = 6 * ratio;
  const [w, h] = [canvas.width, canvas.height];
  context.strokeStyle = "rgba(76, 179, 212, .9)";
  context.lineWidth = 2 * ratio;
  context.beginPath();
  for (const [x0, y0, x1, y1] of [
    [x, 0, x, tick], [x, h - tick, x, h], [0, y, tick, y], [w - tick, y, w, y],
  ]) { context.moveTo(x0, y0); context.lineTo(x1, y1); }
  context.stroke();
  if (view.block.changed && line > 0 && line < canvas.width) {
    context.strokeStyle = "rgba(230, 235, 241, .8)";
    context.beginPath();
    context.moveTo(line, 0);
    context.lineTo(line, canvas.height);
    context.stroke();
  }
  if (view.block.changed && canvas.dataset.plane === "axial") {
    context.textBaseline = "bottom";
    if (view.split > 0.15) { context.textAlign = "right"; context.fillText("before", Math.min(line, canvas.width - 40 * ratio) - 8 * ratio, canvas.height - 8 * ratio); }
    if (view.split < 0.85) { context.textAlign = "left"; context.fillText("after", Math.max(line + 8 * ratio, 64 * ratio), canvas.height - 8 * ratio); }
  }
  context.textAlign = "left";
  context.textBaseline = "bottom";
}

const canvases = [...document.querySelectorAll("canvas[data-plane]")];
let queued = false;
function redraw() {
  if (!view.block || queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    for (const canvas of canvases) draw(canvas);
  });
}

// ---------------------------------------------------------------------------------- steering

function scroll(name, by) {
  const { along } = PLANES[name];
  const last = view.block.size[along] - 1;
  view.cursor[along] = Math.max(0, Math.min(last, view.cursor[along] + by));
  redraw();
}

function chooseWindow(index) {
  if (index >= config.windows.length) return;
  view.window = index;
  for (const [k, button] of [...$("presets").children].entries()) button.setAttribute("aria-pressed", String(k === index));
  const { center: c, width } = config.windows[index];
  $("plane-status").textContent = `W ${width} L ${c}`;
  redraw();
}

function setSplit(share) {
  view.split = Math.max(0, Math.min(1, share));
  $("split").value = String(100 - Math.round(view.split * 100));
  redraw();
}

function setOutline(on) {
  view.outline = on;
  $("toggle-outline").setAttribute("aria-pressed", String(on));
  redraw();
}

function voxel(canvas, event) {
  const plane = PLANES[canvas.dataset.plane];
  const ratio = canvas.width / canvas.clientWidth;
  const place = layout(canvas, plane);
  const column = Math.floor((event.offsetX * ratio - place.left) / place.px);
  const row = Math.floor((event.offsetY * ratio - place.top) / place.py);
  if (column < 0 || row < 0 || column >= view.block.size[plane.across] || row >= view.block.size[plane.down]) return null;
  const down = plane.flip ? view.block.size[plane.down] - 1 - row : row;
  return { ...view.cursor, [plane.across]: column, [plane.down]: down };
}

function report(canvas, event) {
  const at = voxel(canvas, event);
  const { center: c, width } = config.windows[view.window];
  let text = `W ${width} L ${c}`;
  if (at) {
    const { stride, before, after, changed } = view.block;
    const i = at.x * stride.x + at.y * stride.y + at.z * stride.z;
    text += `   ${after[i]} HU`;
    if (changed && after[i] !== before[i]) text += ` (before ${before[i]})`;
  }
  $("plane-status").textContent = text;
}

for (const canvas of canvases) {
  canvas.addEventListener("wheel", (event) => {
    if (!view.block) return;
    event.preventDefault();
    scroll(canvas.dataset.plane, Math.sign(event.deltaY));
    report(canvas, event);
  }, { passive: false });
  canvas.addEventListener("pointerenter", () => (view.active = canvas.dataset.plane));
  canvas.addEventListener("focus", () => (view.active = canvas.dataset.plane));
  canvas.addEventListener("pointermove", (event) => {
    if (!view.block) return;
    report(canvas, event);
    if (event.buttons === 1) pick(canvas, event);
  });
  canvas.addEventListener("pointerdown", (event) => view.block && pick(canvas, event));
}

function pick(canvas, event) {
  const at = voxel(canvas, event);
  if (!at) return;
  view.cursor = at;
  redraw();
}

for (const [index, preset] of config.windows.entries()) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-quiet";
  button.append(`${preset.name} `);
  const key = document.createElement("kbd");
  key.textContent = String(index + 1);
  button.append(key);
  button.addEventListener("click", () => chooseWindow(index));
  $("presets").append(button);
}
$("split").addEventListener("input", (event) => setSplit(1 - Number(event.target.value) / 100));
$("toggle-outline").addEventListener("click", () => setOutline(!view.outline));
$("recenter").addEventListener("click", recenter);
new ResizeObserver(redraw).observe($("planes"));

function recenter() {
  view.cursor = center(view.block);
  redraw();
}

function rejecting() {
  return $("reject")?.open ?? false;
}

const KEYS = {
  ArrowUp: () => scroll(view.active, -1),
  ArrowDown: () => scroll(view.active, 1),
  PageUp: () => scroll(view.active, -5),
  PageDown: () => scroll(view.active, 5),
  ArrowLeft: () => view.block.changed && setSplit(view.split - 0.05),
  ArrowRight: () => view.block.changed && setSplit(view.split + 0.05),
  b: () => view.block.changed && setSplit(view.split < 0.5 ? 1 : 0),
  m: () => setOutline(!view.outline),
  c: recenter,
};
const ACTIONS = {
  a: () => $("accept-form")?.requestSubmit(),
  x: () => {
    if (!$("reject")) return;
    $("reject").open = !$("reject").open;
    if ($("reject").open) $("reject").querySelector(".reason-button").focus();
  },
  n: () => $("go-next")?.click(),
  p: () => $("go-previous")?.click(),
  u: () => ($("undo-last") ?? $("undo-this"))?.requestSubmit(),
  Escape: () => { if ($("reject")) $("reject").open = false; },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches('input[type="text"], textarea, select');
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (typing && key !== "Escape") return;
  if (event.target.id === "split" && key.startsWith("Arrow")) return;
  if (/^[1-9]$/.test(key)) {
    if (rejecting()) document.querySelector(`[data-reason-key="${key}"]`)?.click();
    else chooseWindow(Number(key) - 1);
  } else if (ACTIONS[key]) {
    ACTIONS[key]();
  } else if (KEYS[key] && view.block) {
    KEYS[key]();
  } else {
    return;
  }
  event.preventDefault();
});

// A decision is sent once, however often its key is pressed.
for (const form of document.querySelectorAll("#accept-form, #reject-form, #undo-last, #undo-this")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}

load().then(
  (block) => {
    view.block = block;
    view.cursor = center(block);
    for (const id of ["split-control", "keys-split-1", "keys-split-2", "keys-split-3", "keys-split-4"]) $(id).hidden = !block.changed;
    chooseWindow(0);
    setSplit(0);
    document.documentElement.dataset.ready = "true";
  },
  (error) => {
    $("plane-status").textContent = `The voxels could not be loaded: ${error.message}. Reload the page to try again.`;
  },
);
