// The page of one volume: three planes as PNG, a slider each, window, outlines, linked positions.

const config = JSON.parse(document.getElementById("volume-config").textContent);
const windowSelect = document.getElementById("window");
const toggles = [...document.querySelectorAll(".mask-toggle")];
const cache = new Map();
const CACHED = 240;

function address(plane, index) {
  const query = new URLSearchParams({ window: windowSelect.value });
  const shown = toggles.filter((box) => box.checked).map((box) => box.value);
  if (shown.length) query.set("masks", shown.join(","));
  return `${config.slices}${plane}/${index}.png?${query}`;
}

function load(url) {
  if (!cache.has(url)) {
    const image = new Image();
    image.src = url;
    cache.set(url, image.decode().then(() => image));
    cache.get(url).catch(() => cache.delete(url));
    if (cache.size > CACHED) cache.delete(cache.keys().next().value);
  }
  return cache.get(url);
}

class Plane {
  constructor(figure) {
    this.name = figure.dataset.plane;
    this.count = config.planes[this.name];
    this.box = figure.querySelector(".plane-image");
    this.image = figure.querySelector("img");
    this.slider = figure.querySelector("input");
    this.output = figure.querySelector("output");
    this.slider.value = config.start[this.name];
    this.slider.addEventListener("input", () => this.show());
    this.box.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.go(this.index + Math.sign(event.deltaY));
    }, { passive: false });
    this.box.addEventListener("click", (event) => this.point(event));
  }

  get index() { return Number(this.slider.value); }

  go(index) {
    const next = Math.min(this.count - 1, Math.max(0, Math.round(index)));
    if (next === this.index) return;
    this.slider.value = next;
    this.show();
  }

  async show() {
    const wanted = address(this.name, this.index);
    this.wanted = wanted;
    this.output.value = `${this.index + 1} / ${this.count}`;
    this.box.classList.add("is-waiting");
    try {
      await load(wanted);
    } catch {
      return;
    }
    if (this.wanted !== wanted) return;
    this.image.src = wanted;
    this.box.classList.remove("is-waiting");
    for (const step of [1, -1, 2]) {
      const near = this.index + step;
      if (near >= 0 && near < this.count) load(address(this.name, near)).catch(() => {});
    }
  }

  // Where a click lies in the picture, as shares of its width and height (object-fit: contain).
  point(event) {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    if (!width) return;
    const frame = this.box.getBoundingClientRect();
    const scale = Math.min(frame.width / width, frame.height / height);
    const across = (event.clientX - frame.left - (frame.width - width * scale) / 2) / (width * scale);
    const down = (event.clientY - frame.top - (frame.height - height * scale) / 2) / (height * scale);
    if (across < 0 || across > 1 || down < 0 || down > 1) return;
    const [horizontal, vertical] = {
      axial: ["sagittal", "coronal"],
      coronal: ["sagittal", "axial"],
      sagittal: ["coronal", "axial"],
    }[this.name];
    planes[horizontal].go(across * planes[horizontal].count - 0.5);
    const share = vertical === "axial" ? 1 - down : down; // feet are at slice 0, at the bottom
    planes[vertical].go(share * planes[vertical].count - 0.5);
  }
}

const planes = Object.fromEntries(
  [...document.querySelectorAll("figure[data-plane]")].map((figure) => {
    const plane = new Plane(figure);
    return [plane.name, plane];
  }),
);
const showAll = () => Object.values(planes).forEach((plane) => plane.show());
windowSelect.addEventListener("change", showAll);
toggles.forEach((box) => box.addEventListener("change", showAll));
showAll();
