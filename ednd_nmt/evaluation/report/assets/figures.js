// The headline tables and the curves.

function scoreOf(system, set, measure, figure) {
  return data.scores.find((s) => s.system === system && s.set === set && s.measure === measure && s.figure === figure);
}

function scoreText(score) {
  if (!score) return "";
  const half = score.confidence ? ` ±${((score.confidence.high - score.confidence.low) / 2).toFixed(1)}` : "";
  return `${score.score.toFixed(1)}${half}`;
}

// What is called error: 60 for a translation of BLEU 40.
function errorText() {
  return data.quality_higher_is_better ? `100 − ${data.quality}` : data.quality;
}

function systemClass(system) {
  return `s${data.systems.indexOf(system) % 6}`;
}

function drawTables() {
  const rows = (tables) => tables.reduce((sum, table) => sum + table.rows.length, 0);
  drawTableList(data.tables);
  if (rows(data.all_tables) > rows(data.tables)) {
    const box = element("input", { id: "all-measures", type: "checkbox", onchange: () => drawTableList(box.checked ? data.all_tables : data.tables) });
    byId("table-controls").append(element("label", { class: "check" }, box, element("span", {}, "Show all measures")));
  }
  const compared = data.systems.length > 1 ? ` * marks a difference from ${data.baseline} (p < 0.05).` : "";
  byId("table-hint").textContent = "± and the bar, which runs from 0 to 100, show the 95 % interval. Bold is the best system in the tables of "
    + `quality and calibration, and each system's best measure in the others.${compared}`;
  window.addEventListener("resize", markOverflow);
  byId("legend").append(...data.legend.map((line) => element("li", {}, line.includes("|") ? signature(line) : line)));
}

// May be broken after its bars.
function signature(line) {
  return element("code", {}, ...line.split("|").flatMap((field, i) => (i ? ["|", element("wbr"), field] : [field])));
}

function drawTableList(tables) {
  byId("tables").replaceChildren(...tables.map(drawTable));
  // Narrow tables stand in pairs; of an odd number the first has a row of its own.
  const narrow = byId("tables").querySelectorAll(".table:not(.wide)");
  if (narrow.length % 2) narrow[0].classList.add("wide");
  markOverflow();
}

function drawTable(table) {
  const head = element("tr", {}, element("th", { scope: "col" }, "", element("span", { class: "visually-hidden" }, "measure")),
    ...table.columns.map((name) => element("th", { scope: "col" }, element("span", { class: `swatch ${systemClass(name)}` }), name)));
  const rows = table.rows.map(([name, meaning, cells]) => element("tr", {},
    element("th", { scope: "row" }, name, element("small", {}, meaning)), ...cells.map(drawCell)));
  const caption = element("caption", {}, element("div", {}, element("strong", {}, table.title), table.note ? element("small", {}, table.note) : null));
  const scroller = element("div", { class: "scroller", role: "region", "aria-label": table.title, onscroll: (event) => markOverflowOf(event.target) },
    element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...rows)));
  return element("div", { class: table.columns.length > 3 ? "table wide" : "table" },
    element("p", { class: "swipe", "aria-hidden": "true" }, "Scroll sideways for the other systems →"), scroller);
}

// A table wider than its box says so, until its last column is in sight.
function markOverflowOf(scroller) {
  const wider = scroller.scrollWidth > scroller.clientWidth + 1;
  scroller.parentElement.classList.toggle("overflows", wider);
  if (wider) scroller.setAttribute("tabindex", 0); // only what scrolls is a stop of the tabulator
  else scroller.removeAttribute("tabindex");
  scroller.parentElement.classList.toggle("at-end", scroller.scrollLeft + scroller.clientWidth >= scroller.scrollWidth - 2);
}

function markOverflow() {
  document.querySelectorAll(".scroller").forEach(markOverflowOf);
}

function drawCell(cell) {
  const box = element("td", { class: cell.best ? "best" : null }, cell.number === "-" ? "–" : cell.number,
    cell.margin ? element("span", { class: "margin" }, ` ±${cell.margin}`) : null, cell.differs ? element("sup", { title: "differs from the baseline" }, "*") : null);
  if (cell.margin && cell.percent) {
    const [middle, half] = [Number(cell.number), Number(cell.margin)];
    // What lies beside the bar, as much of a PRR that is worse than random does, is not drawn on it.
    const [low, high] = [middle - half, middle + half].map((end) => Math.max(0, Math.min(100, end)));
    const range = element("span", { class: "range" });
    range.style.left = `${low}%`;
    range.style.width = `${high - low}%`;
    box.append(element("span", { class: "bar", "aria-hidden": "true" }, range));
  }
  return box;
}

const curves = { measure: data.measures[0], set: data.shifted[0] };

function drawCurveControls() {
  const controls = byId("curve-controls");
  controls.append(menu("Measure", data.measures.map((name) => [name, measureText(name)]), curves.measure, (value) => {
    curves.measure = value;
    drawCurves();
  }, "curve-measure"));
  if (data.shifted.length) {
    controls.append(menu("Shifted set", data.shifted.map((name) => [name, name]), curves.set, (value) => {
      curves.set = value;
      drawCurves();
    }, "curve-set"));
  }
}

function drawCurves() {
  const systems = data.systems.filter((system) => data.rejection[system] && data.rejection[system].measures[curves.measure]);
  const highest = Math.max(...systems.map((system) => data.rejection[system].random[0]));
  byId("rejection").replaceChildren(...systems.map((system) => rejectionBox(system, highest)));
  if (!systems.length) byId("rejection").append(element("p", {}, "No system has this measure and references."));
  if (data.shifted.length) drawShift();
  else byId("shift").replaceChildren(element("p", {}, "No shifted set was given."));
}

function rejectionBox(system, highest) {
  const drawn = data.rejection[system];
  const x = drawn.rejected.map((share) => share * 100);
  const kind = systemClass(system);
  const series = [
    { name: curves.measure, x, y: drawn.measures[curves.measure], class: kind },
    { name: "random", x, y: drawn.random, class: "random" },
    { name: "oracle", x, y: drawn.oracle, class: "oracle" },
  ];
  const score = scoreText(scoreOf(system, data.in_domain, curves.measure, "PRR"));
  const chart = lineChart(`Rejection curve of ${system} by ${curves.measure}, PRR ${score} %`, { low: 0, high: 100, label: "% of the sentences rejected" },
    { low: 0, high: highest || 1, label: `mean error (${errorText()})` }, series, [0, 1]);
  return chartBox(system, `PRR ${score} %`, chart, series.map((line) => [line.name, line.class]));
}

function drawShift() {
  const has = (system) => data.roc[system] && data.roc[system][curves.set] && data.roc[system][curves.set][curves.measure];
  const systems = data.systems.filter(has);
  byId("roc-title").textContent = `Telling ${curves.set} from ${data.in_domain}`;
  if (!systems.length) {
    byId("shift").replaceChildren(element("p", {}, "No system has this measure on this set."));
    return;
  }
  const series = systems.map((system) => {
    const roc = data.roc[system][curves.set][curves.measure];
    return { name: system, x: roc.false.map((v) => v * 100), y: roc.true.map((v) => v * 100), class: systemClass(system) };
  });
  const chance = { name: "chance", x: [0, 100], y: [0, 100], class: "random" };
  const areas = systems.map((system) => [`${system}: ${scoreText(scoreOf(system, curves.set, curves.measure, "ROC-AUC"))}`, systemClass(system)]);
  const chart = lineChart(`ROC curves of ${curves.measure} for ${curves.set}: ${areas.map(([text]) => text).join(", ")}`,
    { low: 0, high: 100, label: "false alarms, %" }, { low: 0, high: 100, label: "found, %" }, [...series, chance]);
  const boxes = [chartBox("ROC curves", `by ${curves.measure}, area in %`, chart, [...areas, [chance.name, chance.class]])];
  for (const system of systems) {
    const { edges, in_domain: inside, shifted } = data.histograms[system][curves.set][curves.measure];
    const groups = [{ name: data.in_domain, shares: inside, class: "inside" }, { name: curves.set, shares: shifted, class: "outside" }];
    const axis = { low: edges[0], high: edges[edges.length - 1], label: `${curves.measure}, the last bin holds all larger values` };
    boxes.push(chartBox(system, "", histogram(`Histogram of ${curves.measure} of ${system}`, axis, edges, groups),
      groups.map((group) => [group.name, group.class])));
  }
  byId("shift").replaceChildren(...boxes);
}

function drawReliability() {
  for (const [system, drawn] of Object.entries(data.reliability)) {
    const bins = drawn.bins;
    const axes = [
      { low: 0, high: 100, name: "predicted", label: "predicted probability of a bad translation, %" },
      { low: 0, high: 100, name: "bad", label: "bad translations, %" },
    ];
    const points = { name: system, x: bins.map((bin) => bin.predicted * 100), y: bins.map((bin) => bin.observed * 100), class: systemClass(system) };
    const ideal = { name: "as promised", x: [0, 100], y: [0, 100], class: "random" };
    const error = scoreText(scoreOf(system, data.in_domain, "p_bad", "ECE"));
    const chart = dotChart(`Reliability of ${system}: expected calibration error ${error} %`, ...axes, points, bins.map((bin) => bin.count), ideal);
    byId("reliability").append(chartBox(system, `calibration error ${error} %, bad: ${drawn.meaning}`, chart, [[system, points.class], [ideal.name, "random"]]));
  }
  byId("calibrated").hidden = !Object.keys(data.reliability).length;
}
