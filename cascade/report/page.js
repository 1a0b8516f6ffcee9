"use strict";
const find = (id) => document.getElementById(id);
const slices = JSON.parse(find("slice-data").textContent);
const colours = JSON.parse(find("colour-data").textContent);
const slider = find("slice");
const opacity = find("opacity");

function shape(tag, attributes, text) {
  const element = document.createElementNS(find("slice-outlines").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

function showSlice() {
  const view = slices[Number(slider.value)];
  const image = find("slice-image");
  image.src = view.src;
  image.width = view.w;
  image.height = view.h;
  image.alt = "The scan, " + view.title;
  find("slices").style.setProperty("--ratio", view.w / view.h);
  find("slice-title").textContent = view.title;
  slider.setAttribute("aria-valuetext", view.title);
  const outlines = find("slice-outlines");
  outlines.setAttribute("viewBox", `0 0 ${view.w} ${view.h}`);
  outlines.style.setProperty("--h", view.h);
  const paths = view.o.map(([structure, text, path]) => {
    const element = shape("path", { "data-s": structure, d: path });
    element.style.setProperty("--c", colours[structure]);
    element.append(shape("title", {}, text));
    return element;
  });
  const names = view.o.filter((o) => o[5] !== "none")
    .map(([structure, text, , x, y, anchor]) => shape("text", { "data-s": structure, x, y, "text-anchor": anchor }, text));
  const margin = view.h * 0.018;
  const sides = [["A", margin, "start"], ["P", view.w - margin, "end"]]
    .map(([text, x, anchor]) => shape("text", { class: "side", x, y: view.h / 2, "text-anchor": anchor }, text));
  const right = view.w - margin;
  const bar = shape("line", { class: "scale", x1: right - 50 / view.mm, y1: view.h - margin, x2: right, y2: view.h - margin });
  const length = shape("text", { class: "side", x: right, y: view.h * 0.962, "text-anchor": "end" }, "5 cm");
  outlines.replaceChildren(...paths, ...names, ...sides, bar, length);
  mark();
}

let chosen = null;
let pointed = null;
function mark() {
  const names = [pointed, chosen].filter(Boolean);
  for (const element of document.querySelectorAll("[data-s]")) element.classList.toggle("on", names.includes(element.dataset.s));
  document.body.classList.toggle("marked", names.length > 0);
}

function step(by) {
  const before = slider.value;
  slider.value = Number(slider.value) + by;
  showSlice();
  return slider.value !== before;
}

function setOpacity(value) {
  document.documentElement.style.setProperty("--opacity", value / 100);
}

let hidden = false;
function toggleOverlay() {
  hidden = !hidden;
  document.body.classList.toggle("bare", hidden);
}

slider.max = slices.length - 1;
slider.value = Math.floor(slices.length / 2);
slider.addEventListener("input", showSlice);
opacity.addEventListener("input", () => setOpacity(opacity.value));
for (const id of ["outlines", "names"]) {
  find(id).addEventListener("change", (event) => document.body.classList.toggle("no-" + id, !event.target.checked));
}
find("controls").addEventListener("submit", (event) => event.preventDefault());
find("slices").addEventListener("wheel", (event) => {
  if (step(Math.sign(event.deltaY))) event.preventDefault(); // beyond the last slice the page scrolls
}, { passive: false });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "o" || event.key === "O") toggleOverlay();
  if (event.target.matches("input")) return;
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
document.addEventListener("mouseover", (event) => {
  const near = event.target.closest("[data-s]");
  pointed = near ? near.dataset.s : null;
  mark();
});
for (const button of document.querySelectorAll("button[data-s]")) {
  button.addEventListener("click", () => {
    chosen = chosen === button.dataset.s ? null : button.dataset.s;
    for (const other of document.querySelectorAll("button[data-s]")) other.setAttribute("aria-pressed", String(other.dataset.s === chosen));
    mark();
  });
}
setOpacity(opacity.value);
showSlice();
