"use strict";
// Values are read back from the drawn lines: the page carries no second copy of them.
const SVG = "http://www.w3.org/2000/svg";
const change = {linear: v => v, sqrt: Math.sqrt, log: Math.log10};
const back = {linear: v => v, sqrt: v => v * v, log: v => 10 ** v};

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
    const [first, rest] = piece.split("l");
    let [x, y] = first.trim().split(/\s+/).map(Number);
    found.push([x, y]);
    const steps = (rest || "").trim().split(/\s+/).map(Number);
    for (let i = 0; i + 1 < steps.length; i += 2) {
      x += steps[i];
      y += steps[i + 1];
      found.push([x, y]);
    }
  }
  return found;
}

function reader(svg) {
  const x = scale(svg.dataset.x), y = scale(svg.dataset.y);
  const lines = [...svg.querySelectorAll("g[data-n]")].map(g => ({g, points: points(g.querySelector(".line")?.getAttribute("d") || "")}));
  const cursor = document.createElementNS(SVG, "path"), out = document.createElement("p");
  cursor.setAttribute("class", "cursor");
  out.className = "read";
  out.setAttribute("aria-live", "polite");
  svg.append(cursor);
  svg.after(out);
  let place = null;
  const show = p => {
    place = Math.min(Math.max(p, x.start), x.end);
    cursor.setAttribute("d", `M${place} ${y.start}V${y.end}`);
    out.textContent = "";
    const said = document.createElement("span");
    said.textContent = `at ${x.of(place).toPrecision(3)}:`;
    out.append(said);
    for (const line of lines) {
      if (!line.points.length || getComputedStyle(line.g).display === "none") continue;
      const near = line.points.reduce((a, b) => Math.abs(b[0] - place) < Math.abs(a[0] - place) ? b : a);
      if (Math.abs(near[0] - place) > 12 && line.points.length > 12) continue;
      const word = document.createElement("span");
      word.textContent = `${line.g.dataset.n} ${y.of(near[1]).toFixed(3)}`;
      out.append(word);
    }
  };
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), p = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    if (p >= x.start - 4 && p <= x.end + 4) show(p);
  });
  svg.setAttribute("tabindex", "0");
  svg.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    show((place ?? x.start) + step * (x.end - x.start) / 100);
  });
  return value => show(x.at(value));
}

// With few strategies picked every band has room.
const picked = [...document.querySelectorAll(".pick input[id^=s]")];
const few = () => document.body.classList.toggle("few", picked.filter(box => box.checked).length <= 3);
picked.forEach(box => box.addEventListener("change", few));
few();

const cuts = [];
for (const svg of document.querySelectorAll("svg.f[data-x]")) {
  const move = reader(svg);
  if (svg.dataset.cut) cuts.push(move);
}
for (const box of document.querySelectorAll(".cut")) {
  const input = box.querySelector("input"), out = box.querySelector("output");
  const move = () => {
    out.textContent = Number(input.value).toFixed(2);
    cuts.forEach(cut => cut(Number(input.value)));
  };
  box.hidden = false;
  input.addEventListener("input", move);
  move();
}
