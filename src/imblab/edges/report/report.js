"use strict";
// Values are read back from the drawn lines: the page carries no second copy of them. Nothing here asks the browser for
// a style or a place before a reader moves: on a page of thousands of figures every such question is a new layout.
const SVG = "http://www.w3.org/2000/svg";
const change = {linear: v => v, sqrt: Math.sqrt, log: Math.log10};
const back = {linear: v => v, sqrt: v => v * v, log: v => 10 ** v};
const all = (query, root = document) => [...root.querySelectorAll(query)];
const make = (tag, text = "", properties = {}) => Object.assign(document.createElement(tag), {textContent: text}, properties);
const boxes = all(".pick input[id^=s]");
const labels = boxes.map(box => box.parentElement.querySelector("span").textContent);

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
  const lines = all("g[data-n]", svg).map(g => {
    const numbers = g.dataset.s.split(" ").map(Number), names = numbers.map(i => labels[i]).join(" = ");
    const note = g.dataset.n.split(" ").slice(-2).join(" ");
    return {numbers, name: names + (note.startsWith("k ") ? `, ${note}` : ""),
      points: points(g.querySelector(".line,.dots")?.getAttribute("d") || "")};
  });
  const cursor = document.createElementNS(SVG, "path");
  cursor.setAttribute("class", "cursor");
  svg.append(cursor);
  const found = {x, place: null, move(p) {
    const place = found.place = Math.min(Math.max(p, x.start), x.end);
    cursor.setAttribute("d", `M${place} ${y.start}V${y.end}`);
  }, values() {
    const values = [];
    for (const {numbers, name, points} of lines) {
      if (!points.length || !numbers.some(i => boxes[i].checked)) continue;
      const near = points.reduce((a, b) => Math.abs(b[0] - found.place) < Math.abs(a[0] - found.place) ? b : a);
      if (Math.abs(near[0] - found.place) > 12 && points.length > 12) continue;
      values.push({name, numbers, value: y.of(near[1])});
    }
    return values;
  }};
  return found;
}
const readers = new Map();
const of = svg => readers.get(svg) || readers.set(svg, reader(svg)).get(svg);
const number = (v, digits = 3) => v.toFixed(digits).replace("-", "−");

// One tooltip for all figures: the page does not move.
const tip = make("div", "", {className: "tip", hidden: true});
tip.setAttribute("role", "status");
document.body.append(tip);
const hide = () => { tip.hidden = true; };
function show(svg, p, left, top) {
  const found = of(svg);
  found.move(p);
  const values = found.values().sort((a, b) => b.value - a.value);
  tip.replaceChildren(make("b", `at ${found.x.of(found.place).toPrecision(3)}`), ...values.slice(0, 20).map(each => {
    const line = make("span", each.name);
    line.append(make("i", number(each.value)));
    return line;
  }));
  tip.hidden = !values.length;
  tip.style.left = `${left > innerWidth / 2 ? Math.max(4, left - tip.offsetWidth - 14) : left + 14}px`;
  tip.style.top = `${Math.max(4, Math.min(top + 14, innerHeight - tip.offsetHeight - 4))}px`;
}
for (const svg of all("svg.f[data-x]")) {
  svg.setAttribute("tabindex", "0");
  svg.addEventListener("pointermove", event => {
    const {x} = of(svg), box = svg.getBoundingClientRect();
    const p = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    p >= x.start - 4 && p <= x.end + 4 ? show(svg, p, event.clientX, event.clientY) : hide();
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    const {x, place} = of(svg), p = (place ?? x.start) + step * (x.end - x.start) / 100, box = svg.getBoundingClientRect();
    show(svg, p, box.left + p / svg.viewBox.baseVal.width * box.width, box.top);
  });
}

// A strategy that is pointed at stands out in all figures and tables.
const hot = document.head.appendChild(document.createElement("style"));
let pointed = null;
function highlight(target) {
  const place = target?.closest?.("svg.f g[data-s], .legend [data-s], tr[data-s], .menu label");
  const box = place?.querySelector("input"), numbers = box ? box.id.match(/^s(\d+)$/)?.[1] : place?.dataset.s;
  if (numbers === pointed) return;
  pointed = numbers;
  const others = (numbers || "").split(" ").map(i => `:not([data-s~="${i}"])`).join("");
  const same = (numbers || "").split(" ").map(i => `tr[data-s="${i}"]>*,.legend [data-s="${i}"]`).join();
  hot.textContent = numbers ? `svg.f g[data-s]${others}{opacity:.18}${same}{background:var(--card)!important}` : "";
}
document.addEventListener("pointerover", event => highlight(event.target));

// The filter: which data sets, learners and strategies are shown. Its state is in the address.
const kinds = ["s", "d", "l"].map(letter => ({letter, items: all(`.pick input[id^=${letter}]`)})).filter(k => k.items.length);
const outputs = new Map(all(".menu output").map(output => [output.dataset.of, output]));
function filtered() {
  for (const {letter, items} of kinds) {
    const n = items.filter(box => box.checked).length;
    outputs.get(letter).textContent = n === items.length ? `all ${n}` : `${n} of ${items.length}`;
  }
  // With few strategies picked every band has room.
  document.body.classList.toggle("few", boxes.filter(box => box.checked).length <= 3);
}
function remember() {
  const section = location.hash.slice(1).split("&")[0].replace(/^.=.*/, "");
  const parts = kinds.filter(({items}) => items.some(box => !box.checked)).map(({letter, items}) =>
    `${letter}=${items.filter(box => box.checked).map(box => encodeURIComponent(box.dataset.name)).join(",")}`);
  history.replaceState(null, "", [section, ...parts].length > 1 || section ? `#${[section, ...parts].filter(Boolean).join("&")}` : "#");
}
function changed() {
  filtered();
  remember();
  places.forEach(({tell}) => tell());
}
function restore() {
  const parts = location.hash.slice(1).split("&"), asked = new Map(parts.filter(p => p[1] === "=").map(p => [p[0], p.slice(2)]));
  for (const {letter, items} of kinds) {
    if (!asked.has(letter) && !asked.size) continue;
    const names = asked.has(letter) ? asked.get(letter).split(",").map(decodeURIComponent) : null;
    items.forEach(box => { box.checked = !names || names.includes(box.dataset.name); });
  }
  filtered();
  const target = parts[0] && parts[0][1] !== "=" && document.getElementById(parts[0]);
  for (let each = target || null; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  if (target) target.scrollIntoView();
}
for (const {items} of kinds) {
  const set = keep => { items.forEach(box => { box.checked = keep(box); }); changed(); };
  const bar = make("div", "", {className: "all"}), field = items[0].closest("fieldset");
  bar.append(make("button", "all", {type: "button", onclick: () => set(() => true)}),
    make("button", "none", {type: "button", onclick: () => set(() => false)}));
  field.prepend(bar);
  for (const box of items) {
    const only = make("button", "only", {type: "button", className: "only", onclick: event => {
      event.preventDefault();
      set(each => each === box);
    }});
    only.setAttribute("aria-label", `only ${box.dataset.name}`);
    box.parentElement.append(only);
    box.addEventListener("change", changed);
  }
}
const menus = all(".menu");
document.addEventListener("click", event => menus.forEach(menu => { if (!menu.contains(event.target)) menu.open = false; }));
document.addEventListener("keydown", event => { if (event.key === "Escape") menus.forEach(menu => { menu.open = false; }); });
all("nav a").forEach(a => a.addEventListener("click", event => {
  event.preventDefault();
  const state = location.hash.slice(1).split("&").filter(p => p[1] === "=");
  history.pushState(null, "", [a.getAttribute("href"), ...state].join("&"));
  restore();
}));
addEventListener("hashchange", restore);

// Tables that can be sorted, searched and copied.
const value = cell => {
  const text = cell.textContent.trim().replace(/−/g, "-").replace(/\u202f/g, "");
  return text === "–" || text === "" ? NaN : parseFloat(text);
};
const copies = {
  CSV: rows => rows.map(row => row.map(c => /[",\n]/.test(c) ? `"${c.replace(/"/g, '""')}"` : c).join(",")).join("\n"),
  Markdown: rows => rows.map((row, i) => `| ${row.map(c => c.replace(/\|/g, "\\|")).join(" | ")} |${i ? "" : `\n|${row.map(() => " --- |").join("")}`}`).join("\n"),
  LaTeX: rows => {
    const clean = c => c.replace(/\\/g, "\\textbackslash{}").replace(/[&%$#_{}]/g, "\\$&").replace(/−/g, "$-$").replace(/–/g, "--").replace(/\u202f/g, "\\,");
    const lines = rows.map(row => `${row.map(clean).join(" & ")} \\\\`);
    return `\\begin{tabular}{${rows[0].map(() => "l").join("")}}\n\\toprule\n${lines[0]}\n\\midrule\n${lines.slice(1).join("\n")}\n\\bottomrule\n\\end{tabular}`;
  },
};
const plain = (cell, as) => as === "CSV" ? cell.textContent.trim().replace(/−/g, "-").replace(/\u202f/g, "").replace(/^–$/, "") : cell.textContent.trim();
async function copy(text) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = document.body.appendChild(make("textarea", text));
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
for (const table of all("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => {
    const button = make("button", head.textContent, {type: "button", onclick: () => {
      const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : head.classList.contains("n");
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => head.classList.contains("n") ? value(row.cells[i]) : row.cells[i].textContent;
      const compare = (a, b) => typeof a === "string" ? a.localeCompare(b) : a - b;
      rows.sort((a, b) => {
        const [p, q] = [key(a), key(b)];
        return Number.isNaN(p) - Number.isNaN(q) || (down ? compare(q, p) : compare(p, q)) || 0;
      });
      body.append(...rows);
    }});
    head.replaceChildren(button);
  });
  const search = make("input", "", {type: "search", placeholder: "Find rows"}), said = make("output");
  search.setAttribute("aria-label", "Find rows by data set, learner or strategy");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach(row => {
      const text = [...row.cells].slice(0, 3).map(cell => `${cell.textContent} ${cell.title}`).join(" ").toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    });
  });
  const tools = make("div", "", {className: "tools"});
  tools.append(search, make("span", "Copy as"), ...Object.keys(copies).map(name => make("button", name, {type: "button", onclick: async () => {
    const shown = [table.tHead.rows[0], ...body.rows].filter(row => row.checkVisibility());
    await copy(copies[name](shown.map(row => [...row.cells].map(cell => plain(cell, name)))));
    said.textContent = `${shown.length - 1} rows copied`;
  }})), said);
  table.closest(".scroll").before(tools);
}

// A moved threshold is shown in the visible figures, others follow when they become visible, and as a table.
let threshold = null;
const seen = new Set(), places = [];
const follow = svg => { if (threshold !== null) { const found = of(svg); found.move(found.x.at(threshold)); } };
const watch = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    seen[isIntersecting ? "add" : "delete"](target);
    if (isIntersecting) follow(target);
  }
}, {rootMargin: "200px"});
for (const box of all(".threshold")) {
  const input = box.querySelector("input"), out = box.querySelector("output"), table = box.querySelector("table");
  const figures = all("svg.f[data-threshold]", box.closest("section")), title = svg => svg.querySelector("title").textContent;
  let family = null;
  const tell = () => {
    const shown = svg => kinds.every(({letter}) => letter === "s" || !(letter in svg.parentElement.dataset) || document.getElementById(letter + svg.parentElement.dataset[letter]).checked);
    const first = figures.find(svg => title(svg) === family && shown(svg)) || figures.find(shown);
    const chosen = first ? figures.filter(svg => title(svg) === title(first)) : [];
    const names = chosen.map(svg => svg.querySelector("text.axis:not(.m,.e)").textContent), rows = new Map();
    chosen.forEach((svg, i) => {
      const found = of(svg);
      found.move(found.x.at(threshold));
      for (const each of found.values()) rows.set(each.name, Object.assign(rows.get(each.name) || [], {[i]: each.value}));
    });
    table.caption.textContent = first ? `${title(first)}, every strategy at a threshold of ${threshold.toFixed(2)} (mean over folds; point at another figure for its values)` : "";
    const line = cells => { const row = make("tr"); row.append(...cells); return row; };
    table.tHead.replaceChildren(line(["strategy", ...names].map(name => make("th", name, {scope: "col"}))));
    table.tBodies[0].replaceChildren(...[...rows].map(([name, values]) => line([make("th", name, {scope: "row"}),
      ...names.map((_, i) => make("td", values[i] === undefined ? "–" : number(values[i], Math.abs(values[i]) >= 10 ? 0 : 3)))])));
  };
  const move = () => {
    threshold = Number(input.value);
    out.textContent = threshold.toFixed(2);
    seen.forEach(follow);
    tell();
  };
  box.hidden = false;
  input.addEventListener("input", move);
  figures.forEach(svg => svg.addEventListener("pointerenter", () => { if (title(svg) !== family && threshold !== null) { family = title(svg); tell(); } }));
  places.push({tell: () => { if (threshold !== null) tell(); }});
  box.closest("details.part")?.addEventListener("toggle", () => { if (threshold === null) move(); });
  figures.forEach(svg => watch.observe(svg));
}
restore();
