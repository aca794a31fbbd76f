"use strict";
// Values are read back from the drawn lines: the page carries no second copy of them. Nothing here asks the browser for
// a style or a place before a reader moves: on a page of thousands of figures every such question is a new layout.
const SVG = "http://www.w3.org/2000/svg";
const change = {linear: v => v, sqrt: Math.sqrt, log: Math.log10};
const back = {linear: v => v, sqrt: v => v * v, log: v => 10 ** v};
const boxes = [...document.querySelectorAll(".pick input[id^=s]")];

function scale(text) {
  const [low, high, start, end] = text.split(" ").slice(0, 4).map(Number), kind = text.split(" ")[4];
  const a = change[kind](low), b = change[kind](high);
  return {
    start, end,
    at: v => start + (change[kind](v) - a) / (b - a) * (end - start),
    of: p => back[kind](a + (p - start) / (end - start) * (b - a)),
  };
}

function points(d) {
  const found = [];
  for (const piece of d.split("M").slice(1)) {
    const [first, rest] = piece.split(/[lh]/).map(part => (part.match(/-?(\d+\.?\d*|\.\d+)/g) || []).map(Number));
    let [x, y] = first;
    found.push([x, y]);
    for (let i = 0; i + 1 < (rest || []).length; i += 2) {
      x += rest[i];
      y += rest[i + 1];
      found.push([x, y]);
    }
  }
  return found;
}

// What a figure says at a place: made when it is first needed.
function reader(svg) {
  const x = scale(svg.dataset.x), y = scale(svg.dataset.y);
  const lines = [...svg.querySelectorAll("g[data-n]")].map(g => ({
    name: g.dataset.n, picked: g.dataset.s.split(" ").map(i => boxes[i]), points: points(g.querySelector(".line,.dots")?.getAttribute("d") || ""),
  }));
  const cursor = document.createElementNS(SVG, "path"), out = document.createElement("p");
  cursor.setAttribute("class", "cursor");
  out.className = "read";
  out.setAttribute("aria-live", "polite");
  svg.append(cursor);
  svg.after(out);
  const word = text => Object.assign(document.createElement("span"), {textContent: text});
  const found = {x, place: null, show(p) {
    const place = found.place = Math.min(Math.max(p, x.start), x.end);
    cursor.setAttribute("d", `M${place} ${y.start}V${y.end}`);
    const words = [word(`at ${x.of(place).toPrecision(3)}:`)];
    for (const {name, picked, points} of lines) {
      if (!points.length || !picked.some(box => box.checked)) continue;
      const near = points.reduce((a, b) => Math.abs(b[0] - place) < Math.abs(a[0] - place) ? b : a);
      if (Math.abs(near[0] - place) > 12 && points.length > 12) continue;
      words.push(word(`${name} ${y.of(near[1]).toFixed(3).replace("-", "−")}`));
    }
    out.replaceChildren(...words);
  }};
  return found;
}
const readers = new Map();
const of = svg => readers.get(svg) || readers.set(svg, reader(svg)).get(svg);

for (const svg of document.querySelectorAll("svg.f[data-x]")) {
  svg.setAttribute("tabindex", "0");
  svg.addEventListener("pointermove", event => {
    const {x, show} = of(svg), box = svg.getBoundingClientRect();
    const p = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    if (p >= x.start - 4 && p <= x.end + 4) show(p);
  });
  svg.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    const {x, place, show} = of(svg);
    show((place ?? x.start) + step * (x.end - x.start) / 100);
  });
}

// With few strategies picked every band has room.
const few = () => document.body.classList.toggle("few", boxes.filter(box => box.checked).length <= 3);
boxes.forEach(box => box.addEventListener("change", few));
few();

// A moved threshold is shown in the visible figures; others follow when they become visible.
let threshold = null;
const seen = new Set();
const follow = svg => {
  const found = of(svg);
  found.show(found.x.at(threshold));
};
const watch = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    seen[isIntersecting ? "add" : "delete"](target);
    if (isIntersecting) follow(target);
  }
}, {rootMargin: "200px"});
for (const box of document.querySelectorAll(".threshold")) {
  const input = box.querySelector("input"), out = box.querySelector("output");
  const move = () => {
    threshold = Number(input.value);
    out.textContent = threshold.toFixed(2);
    seen.forEach(follow);
  };
  box.hidden = false;
  input.addEventListener("input", move);
  move();
}
if (threshold !== null) document.querySelectorAll("svg.f[data-threshold]").forEach(svg => watch.observe(svg));
