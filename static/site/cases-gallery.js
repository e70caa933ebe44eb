// Before/after sliders of a gallery: the line between both pictures follows the range below them.
// Listens on the document, so that tiles which come later need nothing.

function follow(range) {
  const images = range.closest(".shot")?.querySelector("[data-split]");
  images?.style.setProperty("--split", `${range.value}%`);
}

document.addEventListener("input", (event) => {
  if (event.target.matches(".shot-split input")) follow(event.target);
});

// A click on a picture moves the line there.
document.addEventListener("click", (event) => {
  const images = event.target.closest("[data-split]");
  if (!images) return;
  const range = images.closest(".shot").querySelector(".shot-split input");
  const box = images.getBoundingClientRect();
  range.value = String(100 * (1 - (event.clientX - box.left) / box.width)); // rounded by its step
  follow(range);
});

// A browser that comes back to the page keeps the ranges where they were.
for (const range of document.querySelectorAll(".shot-split input")) follow(range);
