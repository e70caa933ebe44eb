// The form of a run and lists of candidates.
//
// Tick-all boxes: <input type="checkbox" data-tick-all="NAME"> steers all boxes called NAME.

for (const all of document.querySelectorAll("[data-tick-all]")) {
  const boxes = () => [...document.querySelectorAll(`input[type="checkbox"][name="${all.dataset.tickAll}"]`)];
  const show = () => {
    const ticked = boxes().filter((box) => box.checked).length;
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && !all.checked;
  };
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    show();
  });
  document.addEventListener("change", (event) => {
    if (event.target.name === all.dataset.tickAll) show();
  });
  show();
}

// <div data-shown-unless="NAME=VALUE"> is shown unless the field NAME has that value.
for (const part of document.querySelectorAll("[data-shown-unless]")) {
  const [name, value] = part.dataset.shownUnless.split("=");
  const field = document.querySelector(`[name="${name}"]`);
  const show = () => (part.hidden = field.value === value);
  field.addEventListener("change", show);
  show();
}
