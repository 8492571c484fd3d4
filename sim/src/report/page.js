// Draws what DATA holds; scenarios/README.md says what it is.

const HEIGHT = 250, LANE = 19, GAP = 16, CARD_EDGES = 34;
const COLORS = 6, BARS_MAX = 240, POINTS_MAX = 800, PIECE_BYTES = 524288;
/** From one copy to as many as there are peers, on a logarithmic scale. */
const HEAT = [[30, 35, 82], [38, 84, 124], [42, 157, 143], [181, 206, 90], [253, 231, 76]];
const NOBODY = [205, 45, 45];
const state = { scenario: 0, run: 0 };
/** What is said where the mouse is, one for each picture that is drawn. */
let hovers = [];

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const color = (i) => `var(--c${i % COLORS})`;
const rgb = (parts) => `rgb(${parts.join(" ")})`;

function figure(value, digits) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const most = digits ?? (size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 4);
  return value.toLocaleString("en", { maximumFractionDigits: most });
}

const seconds = (value) => `${figure(value, value < 10 ? 2 : 1)} s`;

/** Round steps for an axis up to `max`. */
function ticks(max, count) {
  if (!(max > 0)) return [0];
  const rough = max / count, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * unit).find((s) => s >= rough);
  const all = [];
  for (let at = 0; at <= max * 1.0001; at += step) all.push(at);
  return all;
}

/** How wide pictures are: those that take the whole row, and the others. */
function widths() {
  const main = document.querySelector("main"), style = getComputedStyle(main);
  const row = main.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const wide = row - CARD_EDGES;
  return { wide, half: window.innerWidth > 860 ? (row - GAP) / 2 - CARD_EDGES : wide };
}

/** An empty chart: axes, and functions from values to places. */
function frame({ width, xMax, yMax, xName, yName, left = 52, unit = "" }) {
  const pad = { left, right: 14, top: 22, bottom: 36 };
  const x = (v) => pad.left + (v / (xMax || 1)) * (width - pad.left - pad.right);
  const y = (v) => HEIGHT - pad.bottom - (v / (yMax || 1)) * (HEIGHT - pad.top - pad.bottom);
  let axes = "";
  for (const at of ticks(yMax, 4)) {
    axes += `<line class="axis" x1="${pad.left}" x2="${width - pad.right}" y1="${y(at)}" y2="${y(at)}"/>`;
    axes += `<text x="${pad.left - 7}" y="${y(at) + 4}" text-anchor="end">${figure(at)}${unit}</text>`;
  }
  for (const at of ticks(xMax, Math.ceil(width / 110))) {
    axes += `<text x="${x(at)}" y="${HEIGHT - pad.bottom + 16}" text-anchor="middle">${figure(at)}</text>`;
  }
  axes += `<text x="${width - pad.right}" y="${HEIGHT - pad.bottom + 31}" text-anchor="end">${xName}</text>`;
  axes += `<text x="${pad.left - 7}" y="11" text-anchor="${left > 90 ? "end" : "start"}" dx="${left > 90 ? 0 : -34}">${yName}</text>`;
  return { x, y, axes, width, pad, xMax, height: HEIGHT };
}

/** The path through points; as steps if it counts things. */
function path(chart, points, steps) {
  let out = "", last = null;
  for (const [px, py] of points) {
    const X = chart.x(px).toFixed(1), Y = chart.y(py).toFixed(1);
    out += last === null ? `M${X} ${Y}` : steps ? `H${X}V${Y}` : `L${X} ${Y}`;
    last = py;
  }
  return out;
}

const curve = (chart, points, stroke, steps, extra = "") =>
  `<path class="curve" d="${path(chart, points, steps)}" stroke="${stroke}" ${extra}/>`;

function area(chart, points, fill) {
  if (!points.length) return "";
  const base = chart.y(0).toFixed(1), first = chart.x(points[0][0]).toFixed(1), last = chart.x(points.at(-1)[0]).toFixed(1);
  return `<path class="area" d="${path(chart, points, false)}L${last} ${base}L${first} ${base}Z" fill="${fill}"/>`;
}

/** A chart as text; where the mouse is, `says` gives the words for that time. */
function svg(chart, inner, says) {
  let cursor = "";
  if (says) {
    cursor = `<line class="cursor" y1="${chart.pad.top}" y2="${HEIGHT - chart.pad.bottom}"/>`;
    hovers.push({ chart, says });
  }
  return `<svg viewBox="0 0 ${chart.width} ${chart.height}" height="${chart.height}" ${says ? `data-hover="${hovers.length - 1}"` : ""}
    role="img">${chart.axes}${inner}${cursor}</svg>${says ? '<span class="tip"></span>' : ""}`;
}

const swatch = (background) => `<i class="swatch" style="background:${background}"></i>`;
const legend = (items) => `<p class="legend">${items.map(([sign, text]) => `<span>${sign}${escape(text)}</span>`).join("")}</p>`;
const card = (title, note, inner, wide) =>
  `<section class="card ${wide ? "wide" : ""}"><h2>${title}</h2><small>${note}</small><div>${inner}</div></section>`;
const table = (head, rows) => `<div class="scroll"><table><tr>${head.map(([name, n]) => `<th class="${n ? "n" : ""}">${name}</th>`).join("")}</tr>
  ${rows.map((row) => `<tr>${row.map((cell, i) => `<td class="${head[i][1] ? "n" : ""}">${cell}</td>`).join("")}</tr>`).join("")}</table></div>`;

/** The sample that tells what it was like at a time. */
const sampleAt = (run, at) => run.samples.findLast((sample) => sample.at_s <= at) ?? run.samples[0];

/** How many copies of all pieces together there were: each as good as a whole file. */
const copiesOf = (sample) => sample.copies.reduce((sum, copies) => sum + copies, 0) / Math.max(sample.copies.length, 1);

/** How many had completed by when, of at most so many points. */
function completions(run) {
  const times = run.peers.map((p) => p.completed_s).filter((t) => t !== null).sort((a, b) => a - b);
  const every = Math.max(1, Math.ceil(times.length / POINTS_MAX));
  const all = times.map((t, i) => [t, i + 1]).filter((_, i) => (i + 1) % every === 0 || i === times.length - 1);
  return [[0, 0], ...all, [run.lasted_s, times.length]];
}

/** The axis of time that the wide pictures share: how far it goes, and how much room there is for the names of faults. */
function timeline(told, run) {
  const longest = Math.max(0, ...run.faults.map((fault) => fault.name.length));
  return {
    xMax: Math.max(...told.runs.map((r) => r.lasted_s), ...told.bounds.map((b) => b.at_s)) * 1.02,
    left: run.faults.length ? Math.min(Math.max(52, longest * 6.6 + 20), 170) : 52,
  };
}

const DASHES = ["7 4", "2 3"], BORDERS = ["dashed", "dotted"];

function boundLines(chart, told) {
  return told.bounds.map((bound, i) => `<line class="bound" stroke-dasharray="${DASHES[i]}" x1="${chart.x(bound.at_s)}" x2="${chart.x(bound.at_s)}"
    y1="${chart.pad.top - 8}" y2="${HEIGHT - chart.pad.bottom}"/>`).join("");
}

/** One lane a fault: from when to when it may strike, and when it struck somebody. */
function lanes(chart, run) {
  return run.faults.map((fault, row) => {
    const top = HEIGHT + 4 + row * LANE, from = chart.x(fault.at_s), to = chart.x(fault.until_s);
    const strikes = fault.strikes_s.map((at) => `<line class="strike" x1="${chart.x(at)}" x2="${chart.x(at)}" y1="${top}" y2="${top + 11}"/>`);
    return `<text x="${chart.pad.left - 7}" y="${top + 9}" text-anchor="end">${escape(fault.name)}</text>
      <rect class="lane" rx="2" x="${from}" y="${top}" width="${Math.max(to - from, 2)}" height="11"/>${strikes.join("")}`;
  }).join("");
}

function completionCard(told, run, width) {
  const { xMax, left } = timeline(told, run);
  const copies = run.samples.map((s) => [s.at_s, copiesOf(s)]), fetching = run.samples.map((s) => [s.at_s, s.fetching]);
  const yMax = Math.max(1, ...told.runs.map((r) => completions(r).at(-1)[1]), ...fetching.map((p) => p[1]), ...copies.map((p) => p[1]));
  const chart = frame({ width, xMax, yMax, left, xName: "seconds", yName: "peers" });
  chart.height = HEIGHT + (run.faults.length ? run.faults.length * LANE + 8 : 0);
  let inner = area(chart, copies, color(1)) + curve(chart, copies, color(1), false) + boundLines(chart, told);
  inner += curve(chart, fetching, "var(--soft)", true, 'opacity="0.6"');
  told.runs.forEach((other) => {
    if (other !== run) inner += curve(chart, completions(other), color(0), true, 'opacity="0.28"');
  });
  inner += curve(chart, completions(run), color(0), true, 'stroke-width="2.8"') + lanes(chart, run);
  const keys = [[swatch(color(0)), `done, seed ${run.seed}`], [swatch("var(--soft)"), "still fetching"],
    [swatch(color(1)), "copies of the file, all pieces together"]];
  if (told.runs.length > 1) keys.splice(1, 0, [swatch(`color-mix(in srgb, ${color(0)} 30%, transparent)`), "done, other seeds"]);
  told.bounds.forEach((bound, i) =>
    keys.push([`<i class="dash" style="border-top-style:${BORDERS[i]}"></i>`, `bound of ${bound.name}: ${seconds(bound.at_s)}`]));
  if (run.faults.length) keys.push([swatch("var(--mark)"), "a fault lasts, or strikes"]);
  const says = (at) => {
    const sample = sampleAt(run, at);
    return `${seconds(sample.at_s)}\n${sample.completed} done, ${sample.fetching} fetching\n${figure(copiesOf(sample), 1)} copies`;
  };
  const note = told.bounds.length ? "and, dashed, the time before which they cannot all be done, whatever anybody does" : "";
  return card("Peers done over time", note, svg(chart, inner, says) + legend(keys), true);
}

function heat(share) {
  const at = Math.min(Math.max(share, 0), 1) * (HEAT.length - 1), low = Math.min(Math.floor(at), HEAT.length - 2);
  return HEAT[low].map((v, i) => Math.round(v + (HEAT[low + 1][i] - v) * (at - low)));
}

const mostCopies = (run) => Math.max(2, ...run.samples.map((s) => s.copies.reduce((a, b) => Math.max(a, b), 0)));

function heatCard(told, run, width) {
  const most = figure(mostCopies(run), 0), scale = HEAT.map(rgb).join(", ");
  const keys = [[swatch(rgb(NOBODY)), "nobody has it"], [`1 <i class="scale" style="background:linear-gradient(90deg, ${scale})"></i>`, `${most} copies (logarithmic)`]];
  const rows = run.samples[0]?.copies.length ?? 0;
  const together = rows < told.pieces ? `, ${figure(told.pieces / rows, 1)} of them to a row` : "";
  const chart = frame({ width, ...timeline(told, run), yMax: told.pieces, xName: "seconds", yName: "piece" });
  const says = (at, share) => {
    const sample = sampleAt(run, at), row = Math.min(Math.floor(share * rows), rows - 1);
    if (at > run.lasted_s || row < 0) return null;
    return `${seconds(sample.at_s)}\npiece ${Math.floor((row / rows) * told.pieces) + 1}\n${figure(sample.copies[row], 1)} copies`;
  };
  const image = `<image id="heat" x="${chart.x(0)}" y="${chart.y(told.pieces)}" width="${chart.x(run.lasted_s) - chart.x(0)}"
    height="${chart.y(0) - chart.y(told.pieces)}" preserveAspectRatio="none" style="image-rendering:pixelated" href="${heatImage(run, rows)}"/>`;
  return card("Copies of each piece over time", `${figure(told.pieces)} pieces from bottom to top${together}`,
    svg(chart, image, says) + legend(keys), true);
}

/** One dot for each sample and row. */
function heatImage(run, rows) {
  const most = Math.log(mostCopies(run)), samples = run.samples;
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  canvas.width = Math.max(samples.length, 1);
  canvas.height = Math.max(rows, 1);
  const image = pen.createImageData(canvas.width, canvas.height);
  samples.forEach((sample, i) => sample.copies.forEach((copies, row) => {
    const dot = copies === 0 ? NOBODY : heat(Math.log(Math.max(copies, 1)) / most);
    image.data.set([...dot, 255], ((rows - 1 - row) * canvas.width + i) * 4);
  }));
  pen.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

/** What each peer gave, most first; of very many, the mean of neighbours in this order, by class. */
function shares(told, run) {
  const bytes = told.pieces * PIECE_BYTES, together = Math.ceil(run.peers.length / BARS_MAX);
  const order = together > 1 ? (a, b) => a[1] - b[1] || b[0] - a[0] : (a, b) => b[0] - a[0];
  const all = run.peers.map((p) => [p.uploaded_bytes / bytes, p.class]).sort(order);
  const bars = [];
  for (let at = 0; at < all.length;) {
    const group = all.slice(at, at + together).filter((p) => p[1] === all[at][1]);
    bars.push([group.reduce((sum, p) => sum + p[0], 0) / group.length, all[at][1], group.length]);
    at += group.length;
  }
  return bars;
}

function shareCard(told, run, width) {
  const bars = shares(told, run);
  const count = run.peers.length || 1, most = Math.max(0.1, ...bars.map((bar) => bar[0]));
  const chart = frame({ width, xMax: count, yMax: most, xName: "peers, most first", yName: "files given" });
  let at = 0;
  const inner = bars.map(([share, cls, peers]) => {
    const from = chart.x(at), to = chart.x((at += peers));
    return `<rect x="${from.toFixed(2)}" width="${Math.max(to - from - (to - from > 4 ? 1 : 0), 0.5).toFixed(2)}" y="${chart.y(share).toFixed(1)}"
      height="${(chart.y(0) - chart.y(share)).toFixed(1)}" fill="${color(cls)}"/>`;
  });
  const used = [...new Set(bars.map((bar) => bar[1]))].sort((a, b) => a - b);
  return card("Who gave how much", "bytes sent by each honest peer, over the length of all files",
    svg(chart, inner.join("")) + legend(used.map((cls) => [swatch(color(cls)), told.classes[cls].name])), true);
}

function sendingCard(run, width) {
  const sending = run.samples.map((s) => [s.at_s, s.sending * 100]);
  const chart = frame({ width, xMax: run.lasted_s, yMax: 100, unit: "%", xName: "seconds", yName: "of honest peers" });
  const says = (at) => `${seconds(sampleAt(run, at).at_s)}\n${figure(sampleAt(run, at).sending * 100, 1)} % send`;
  return card("Uplinks at work", "peers that are sending a piece",
    svg(chart, area(chart, sending, color(0)) + curve(chart, sending, color(0), false), says));
}

function queueCard(run, width) {
  const mean = run.samples.map((s) => [s.at_s, s.queue_mean]), max = run.samples.map((s) => [s.at_s, s.queue_max]);
  const chart = frame({ width, xMax: run.lasted_s, yMax: Math.max(1, ...max.map((p) => p[1])), xName: "seconds", yName: "requests" });
  const says = (at) => {
    const sample = sampleAt(run, at);
    return `${seconds(sample.at_s)}\nmean ${figure(sample.queue_mean, 2)}, longest ${sample.queue_max}`;
  };
  return card("Queues", "requests that wait at a peer for a slot, or for a place in its queue",
    svg(chart, curve(chart, max, color(2), true, 'opacity="0.7"') + curve(chart, mean, color(0), false), says)
    + legend([[swatch(color(0)), "mean over honest peers"], [swatch(color(2)), "longest"]]));
}

function limits(band) {
  if (band.min !== null && band.max !== null) return `${figure(band.min)} to ${figure(band.max)}`;
  return band.max !== null ? `at most ${figure(band.max)}` : `at least ${figure(band.min)}`;
}

function bandTable(told) {
  if (!told.bands.length) return "";
  const chip = (band) => `<span class="chip ${band.holds ? "holds" : "misses"}">${band.holds ? "holds" : "does not hold"}</span>`;
  const rows = told.bands.map((b) => [escape(b.name), figure(b.median), limits(b), figure(b.stretch), chip(b)]);
  return card("What must hold", `the median over ${told.runs.length} ${told.runs.length === 1 ? "run" : "runs"}`,
    table([["measure"], ["median", 1], ["band", 1], ["goal", 1], [""]], rows), true);
}

function classTable(told) {
  const rate = (v) => v >= 1 << 20 ? `${figure(v / (1 << 20), 1)} MiB/s` : `${figure(v / 1024, 1)} KiB/s`;
  const rows = told.classes.map((c, i) => [`${swatch(color(i))} ${escape(c.name)}`, c.seeds ? "seeds" : "fetches", escape(c.behaviour),
    rate(c.up_bytes_per_s), rate(c.down_bytes_per_s), escape(c.strategy)]);
  return card("Who took part", "peers of one class share a line and a way to behave",
    table([["class"], [""], ["behaviour"], ["up", 1], ["down", 1], ["chooses"]], rows), true);
}

function faultTable(run) {
  const rows = Object.entries(run.fired).map(([name, times]) => [escape(name), figure(times)]);
  return rows.length ? card("What went wrong", "how often each kind of fault made a difference", table([["fault"], ["times", 1]], rows)) : "";
}

function measureTable(run, wide) {
  const rows = Object.entries(run.measures).map(([name, value]) => [escape(name), figure(value)]);
  return card("All measures", `seed ${run.seed}, trace ${run.trace}`, table([["measure"], ["value", 1]], rows), wide);
}

function facts(run) {
  const m = run.measures;
  const all = [["last peer done", m.makespan_s, seconds], ["over the highest bound", m.ratio_mundinger ?? m.ratio_kumar_ross, (v) => `${figure(v, 3)} ×`],
    ["median download", m.p50_s, seconds], ["99th percentile", m.p99_s, seconds],
    ["uplinks used, middle half", m.uplink_utilisation, (v) => `${figure(v * 100, 1)} %`], ["of bytes sent wasted", m.wasted_percent, (v) => `${figure(v, 2)} %`]];
  const told = all.filter(([, value]) => value !== undefined);
  return `<div class="facts">${told.map(([name, value, words]) => `<div class="fact"><b>${words(value)}</b><small>${name}</small></div>`).join("")}</div>`;
}

const picker = (name, items, chosen) => items.length < 2 ? "" : `<nav>${items.map((item, i) =>
  `<button data-pick="${name}" data-at="${i}" aria-pressed="${i === chosen}">${escape(item)}</button>`).join("")}</nav>`;

function draw() {
  hovers = [];
  const told = DATA.scenarios[state.scenario], run = told.runs[state.run], { wide, half } = widths();
  const failures = told.failures.map((f) => `<p><span class="chip misses">${escape(f.kind)}</span> seed ${f.seed}: ${escape(f.why)}</p>`).join("");
  const pictures = run ? completionCard(told, run, wide) + heatCard(told, run, wide) + sendingCard(run, half) + queueCard(run, half) + shareCard(told, run, wide) : "";
  const fired = run ? faultTable(run) : "";
  document.title = `${told.title} – swarm report`;
  document.querySelector("main").innerHTML = `<h1>${escape(told.title)}</h1><p class="soft">${escape(told.about)}</p>
    ${picker("scenario", DATA.scenarios.map((s) => s.title), state.scenario)}
    ${picker("run", told.runs.map((r) => `seed ${r.seed}`), state.run)}
    ${run ? facts(run) : ""}${failures}
    <div class="grid">${bandTable(told)}${pictures}${classTable(told)}${fired}${run ? measureTable(run, !fired) : ""}</div>`;
}

function hover(event) {
  const picture = event.target.closest?.("[data-hover]");
  document.querySelectorAll(".tip, .cursor").forEach((sign) => { sign.style.visibility = "hidden"; });
  if (!picture) return;
  const { chart, says } = hovers[picture.dataset.hover], box = picture.getBoundingClientRect();
  const X = ((event.clientX - box.left) / box.width) * chart.width, Y = ((event.clientY - box.top) / box.height) * chart.height;
  const at = ((X - chart.x(0)) / (chart.x(chart.xMax) - chart.x(0))) * chart.xMax;
  const share = (HEIGHT - chart.pad.bottom - Y) / (HEIGHT - chart.pad.top - chart.pad.bottom);
  const words = at >= 0 && at <= chart.xMax && share >= 0 && share <= 1 ? says(at, share) : null;
  if (words === null) return;
  const tip = picture.parentElement.querySelector(".tip"), cursor = picture.querySelector(".cursor");
  cursor.setAttribute("x1", X);
  cursor.setAttribute("x2", X);
  tip.textContent = words;
  tip.style.left = `${X > chart.width - 190 ? X - tip.offsetWidth - 12 : X + 12}px`;
  tip.style.top = `${Y + 12}px`;
  tip.style.visibility = cursor.style.visibility = "visible";
}

document.addEventListener("click", (event) => {
  const { pick, at } = event.target.dataset ?? {};
  if (!pick) return;
  state[pick] = Number(at);
  if (pick === "scenario") state.run = 0;
  draw();
});
document.addEventListener("mousemove", hover);
window.addEventListener("resize", draw);
draw();
