// The protocol form: rows that can be added and removed, and what the design comes to so far.

const form = document.querySelector("#protocol-form");

function numbers(name) {
  return [...form.querySelectorAll(`[name="${name}"]`)].map((input) => Number(input.value) || 0);
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function show(name, text) {
  document.querySelector(`[data-count="${name}"]`).textContent = text;
}

function suggest(list, inputs) {
  const names = new Set([...form.querySelectorAll(inputs)].map((input) => input.value.trim()));
  names.delete("");
  document.querySelector(list).replaceChildren(
    ...[...names].map((name) => Object.assign(document.createElement("option"), { value: name })),
  );
}

function hintFor(main, repeats, gap) {
  if (repeats && repeats > main - gap + 1) {
    return `${repeats} repeats at least ${gap} positions apart do not fit ${main} main cases.`;
  }
  return "";
}

function update() {
  const real = sum(numbers("strata-real"));
  const synthetic = sum(numbers("strata-synthetic"));
  const main = real + synthetic;
  const practice = sum(numbers("practice__real")) + sum(numbers("practice__synthetic"));
  const [repeats] = numbers("repeats__count");
  const [gap] = numbers("repeats__minimum_gap");
  const [minutes] = numbers("sessions__minutes_per_case");
  const [session] = numbers("sessions__cases_per_session");
  const total = practice + main + repeats;
  show("main", main);
  show("arms", `${real} / ${synthetic}`);
  show("total", total);
  show("hours", ((total * minutes) / 60).toFixed(1));
  show("sessions", session ? Math.ceil(total / session) : "–");
  const hint = document.querySelector('[data-count="hint"]');
  hint.textContent = hintFor(main, repeats, gap);
  hint.hidden = !hint.textContent;
  suggest("#bands", '[name="bands-name"]');
  suggest("#organs", '[name="strata-organ"], [name="windows-organ"]');
}

if (form) {
  form.addEventListener("click", (event) => {
    const add = event.target.closest("[data-add-row]");
    const remove = event.target.closest("[data-remove-row]");
    if (add) {
      const rows = add.closest("[data-rows]");
      const row = rows.querySelector("template").content.firstElementChild.cloneNode(true);
      rows.querySelector("tbody").append(row);
      row.querySelector("input").focus();
    }
    if (remove) {
      const row = remove.closest("tr");
      const near = row.nextElementSibling ?? row.previousElementSibling;
      const rows = remove.closest("[data-rows]");
      row.remove();
      (near?.querySelector("[data-remove-row]") ?? rows.querySelector("[data-add-row]")).focus();
    }
    if (add || remove) update();
  });
  form.addEventListener("input", update);
  // What is typed but not saved is not lost by a slip.
  let changed = document.querySelector("#form-errors") !== null;
  form.addEventListener("input", () => (changed = true));
  form.addEventListener("submit", () => (changed = false));
  window.addEventListener("beforeunload", (event) => {
    if (changed) event.preventDefault();
  });
  document.querySelector("#form-errors")?.focus();
  update();
}
