// Sends files in chunks. The server knows how much of each has arrived, so after a reload, a lost
// connection or a restart of the server the same files go on where they stopped.

const config = JSON.parse(document.getElementById("upload-config").textContent);
const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
const $ = (id) => document.getElementById(id);
const PARALLEL = 4;
const LONGEST_WAIT = 30_000;
const NOISE = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*|__MACOSX\/.*)$/;

class Refused extends Error {} // the server said no: a sentence for the person

async function call(method, path, { json, body } = {}) {
  const response = await fetch(`${config.api}${path}`, {
    method,
    headers: {
      "X-CSRFToken": token,
      Accept: "application/json",
      ...(json ? { "Content-Type": "application/json" } : {}),
      ...(body ? { "Content-Type": "application/octet-stream" } : {}),
    },
    body: json ? JSON.stringify(json) : body,
  });
  if (response.status === 204) return {};
  const data = await response.json().catch(() => ({}));
  if (response.ok) return data;
  const error = response.status >= 500 || response.status === 429 ? new Error("busy") : new Refused();
  error.status = response.status;
  error.data = data;
  error.message = response.status === 401
    ? "You were signed out. Sign in in another tab, then choose the same files again."
    : data.detail || "The server did not accept this; reload the page and try again.";
  throw error;
}

// ---- which files

async function fromDrop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ name: file.name, file }));
  const found = [];
  await Promise.all(entries.map((entry) => walk(entry, found)));
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ name: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = entry.createReader();
  for (;;) { // readEntries gives at most 100 at a time
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const child of batch) await walk(child, found);
  }
}

const fromInput = (input) =>
  [...input.files].map((file) => ({ name: file.webkitRelativePath || file.name, file }));

// ---- sending

class Upload {
  constructor(items) {
    this.items = items.filter((item) => !NOISE.test(item.name));
    this.stopped = false;
    this.samples = [];
  }

  async run() {
    this.state = await call("POST", "", {
      json: {
        files: this.items.map((item) => ({ name: item.name, size: item.file.size })),
        volume: config.volume,
      },
    });
    const byName = new Map(this.items.map((item) => [item.name, item]));
    this.files = this.state.files.map((file) => ({ ...file, item: byName.get(file.name) }));
    this.total = this.files.reduce((sum, file) => sum + file.size, 0);
    history.replaceState(null, "", this.state.url);
    view.begin(this);
    const queue = this.files.filter((file) => file.received < file.size);
    const worker = async () => {
      for (let file = queue.shift(); file && !this.stopped; file = queue.shift()) await this.send(file);
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    if (this.stopped) return;
    const bad = this.files.filter((file) => file.error);
    if (bad.length) {
      const names = bad.slice(0, 3).map((file) => file.name).join(", ");
      throw new Refused(
        `${bad.length} file${bad.length > 1 ? "s" : ""} could not be sent (${names}). Cancel, then choose the files again without ${bad.length > 1 ? "them" : "it"}.`,
      );
    }
    view.words("All files have arrived");
    const done = await this.patiently(() => call("POST", `/${this.state.id}/finish`));
    if (done) window.location.assign(done.url);
  }

  async send(file) {
    while (file.received < file.size && !this.stopped) {
      const end = Math.min(file.size, file.received + this.state.chunk_bytes);
      let body;
      try {
        body = await file.item.file.slice(file.received, end).arrayBuffer();
      } catch {
        file.error = "cannot be read on your computer";
        break;
      }
      try {
        const answer = await this.patiently(() =>
          call("PUT", `/${this.state.id}/files/${file.id}?offset=${file.received}`, { body }));
        if (!answer) return;
        file.received = answer.received;
      } catch (error) {
        if (error.status === 409 && Number.isInteger(error.data?.received)) {
          file.received = error.data.received;
        } else if (error.status === 400) {
          file.error = error.message;
          break;
        } else {
          this.stopped = true;
          throw error;
        }
      }
      view.update(this);
    }
    view.update(this);
  }

  // Repeat through lost connections and a busy or restarting server; null when cancelled meanwhile.
  async patiently(action) {
    for (let wait = 1000; ; wait = Math.min(LONGEST_WAIT, wait * 2)) {
      try {
        const answer = await action();
        view.online();
        return answer;
      } catch (error) {
        if (error instanceof Refused) throw error;
        if (this.stopped) return null;
        view.words("The connection is lost; trying again …");
        await new Promise((resolve) => setTimeout(resolve, wait));
        if (this.stopped) return null;
      }
    }
  }

  async cancel() {
    this.stopped = true;
    await call("DELETE", `/${this.state.id}`).catch(() => {});
    window.location.assign("/library/");
  }

  get received() { return this.files.reduce((sum, file) => sum + file.received, 0); }

  // Seconds left by the speed of the last ten seconds.
  get secondsLeft() {
    const now = performance.now();
    this.samples.push([now, this.received]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 10_000) this.samples.shift();
    const [then, before] = this.samples[0];
    const speed = (this.received - before) / ((now - then) / 1000);
    return now - then > 800 && speed > 0 ? (this.total - this.received) / speed : null;
  }
}

// ---- what is shown

const size = (bytes) => {
  const units = ["B", "KB", "MB", "GB"];
  let at = 0;
  while (bytes >= 1000 && at < 3) { bytes /= 1000; at += 1; }
  return `${at === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[at]}`;
};

const duration = (seconds) => {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
};

const view = {
  rows: new Map(),

  begin(upload) {
    $("drop").hidden = true;
    $("problem").hidden = true;
    $("sending").hidden = false;
    window.addEventListener("beforeunload", this.ask);
    const many = upload.files.length > 15;
    this.groups = Map.groupBy
      ? Map.groupBy(upload.files, (file) => this.group(file, many))
      : upload.files.reduce((map, file) => {
        const key = this.group(file, many);
        return map.set(key, [...(map.get(key) ?? []), file]);
      }, new Map());
    $("rows").replaceChildren(...[...this.groups].map(([name, files]) => {
      const row = document.createElement("tr");
      const bytes = files.reduce((sum, file) => sum + file.size, 0);
      for (const [text, kind] of [[name, ""], [files.length, "number"], [size(bytes), "number"], ["", "number"]]) {
        const cell = row.insertCell();
        cell.textContent = text;
        if (kind) cell.className = kind;
      }
      this.rows.set(name, row);
      return row;
    }));
    this.online();
    this.update(upload);
  },

  group: (file, many) => (many ? file.name.split("/").slice(0, -1).join("/") || file.name : file.name),

  online() { this.words("Sending"); },
  words(text) { if ($("headline").textContent !== text) $("headline").textContent = text; },

  update(upload) {
    if (this.pending) return;
    this.pending = setTimeout(() => {
      this.pending = null;
      this.paint(upload);
    }, 150);
  },

  paint(upload) {
    const { received, total } = upload;
    $("bar").value = total ? received / total : 1;
    $("bytes").textContent = `${size(received)} of ${size(total)}, ${upload.files.length} file${upload.files.length === 1 ? "" : "s"}`;
    const left = upload.secondsLeft;
    $("eta").textContent = left === null || received === total ? "" : `about ${duration(left)} left`;
    for (const [name, files] of this.groups) {
      const row = this.rows.get(name);
      const error = files.find((file) => file.error)?.error;
      const all = files.reduce((sum, file) => sum + file.size, 0);
      const got = files.reduce((sum, file) => sum + file.received, 0);
      row.lastChild.textContent = error ?? (got === all ? "✓" : `${Math.floor((100 * got) / all)} %`);
      row.className = error ? "is-bad" : got === all ? "is-done" : "";
    }
  },

  problem(text) {
    window.removeEventListener("beforeunload", this.ask);
    $("problem").textContent = text;
    $("problem").hidden = false;
  },

  ask(event) { event.preventDefault(); },
};

let current = null;

async function begin(items) {
  if (!items.length || current) return;
  current = new Upload(items);
  try {
    await current.run();
    window.removeEventListener("beforeunload", view.ask);
  } catch (error) {
    const gone = !current.files;
    view.problem(error instanceof Refused ? error.message : "The server cannot be reached; check the connection and choose the files again.");
    if (gone || error.status === 400) {
      $("sending").hidden = true;
      $("drop").hidden = false;
      current = null;
    }
  }
}

const drop = $("drop");
for (const kind of ["dragover", "dragenter"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("is-over"); });
}
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("is-over"));
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  begin(await fromDrop(event.dataTransfer));
});
for (const id of ["folder", "files"]) {
  const input = $(id);
  const take = () => {
    const items = fromInput(input);
    input.value = "";
    begin(items);
  };
  input.addEventListener("change", take);
  if (input.files.length) take(); // chosen before this script had arrived
}
$("cancel").addEventListener("click", () => {
  window.removeEventListener("beforeunload", view.ask);
  current?.cancel();
});
