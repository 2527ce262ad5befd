// Line charts, dots and histograms as inline SVG, with a reading where the pointer or the arrow keys are.

const SIZE = { width: 380, height: 270, left: 46, right: 12, top: 12, bottom: 40 };
const STOPS = Array.from({ length: 51 }, (_, i) => i / 50); // of the arrow keys on a line chart

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
  return found;
}

function frame(title, xAxis, yAxis) {
  const { width, height, left, right, top, bottom } = SIZE;
  const x = (value) => left + ((value - xAxis.low) / (xAxis.high - xAxis.low)) * (width - left - right);
  const y = (value) => height - bottom - ((value - yAxis.low) / (yAxis.high - yAxis.low)) * (height - top - bottom);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const value of ticks(xAxis.low, xAxis.high, 5)) {
    root.append(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: height - bottom }),
      svg("text", { class: "tick", x: x(value), y: height - bottom + 15, "text-anchor": "middle" }, short(value)));
  }
  for (const value of ticks(yAxis.low, yAxis.high, 4)) {
    root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  root.append(svg("text", { class: "axis", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xAxis.label),
    svg("text", { class: "axis", transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yAxis.label));
  return { root, x, y };
}

// Series: {name, x: [...], y: [...], class}. `between` fills the area between two series by index.
function lineChart(title, xAxis, yAxis, series, between) {
  const { root, x, y } = frame(title, xAxis, yAxis);
  if (between) {
    const [first, second] = between.map((index) => series[index]);
    const there = first.x.map((value, i) => `${x(value)},${y(first.y[i])}`);
    const back = second.x.map((value, i) => `${x(value)},${y(second.y[i])}`).reverse();
    root.append(svg("polygon", { class: `area ${first.class}`, points: [...there, ...back].join(" ") }));
  }
  for (const line of series) {
    root.append(drawnLine(line, x, y));
  }
  readable(root, STOPS, (share) => {
    const at = xAxis.low + share * (xAxis.high - xAxis.low);
    const rows = series.map((line) => [line.name, valueAt(line, at)]).filter(([, value]) => value !== null);
    return { share, heading: `${xAxis.label}: ${short(at)}`, rows: rows.map(([name, value]) => [name, short(value)]) };
  });
  return root;
}

// Dots on a line, the larger the more sentences stand behind them, and a reading of the nearest dot, in percent.
function dotChart(title, xAxis, yAxis, dots, counts, ideal) {
  const { root, x, y } = frame(title, xAxis, yAxis);
  const most = Math.max(...counts);
  for (const line of [ideal, dots]) root.append(drawnLine(line, x, y));
  dots.x.forEach((value, i) => root.append(svg("circle", { class: `dot ${dots.class}`, cx: x(value), cy: y(dots.y[i]), r: 3 + 6 * Math.sqrt(counts[i] / most) })));
  const stops = dots.x.map((value) => (value - xAxis.low) / (xAxis.high - xAxis.low));
  readable(root, stops, (share) => {
    const far = stops.map((stop) => Math.abs(stop - share));
    const i = far.indexOf(Math.min(...far));
    return { share: stops[i], heading: `${counts[i].toLocaleString("en")} sentences`,
      rows: [[xAxis.name, `${dots.x[i].toFixed(1)} %`], [yAxis.name, `${dots.y[i].toFixed(1)} %`]] };
  });
  return root;
}

function drawnLine(line, x, y) {
  return svg("polyline", { class: `line ${line.class}`, points: line.x.map((value, i) => `${x(value)},${y(line.y[i])}`).join(" ") });
}

// The height of the line as drawn, straight between its points, or null beside its ends; steps go up at a point.
function valueAt(line, at) {
  let low = 0;
  let high = line.x.length - 1;
  if (at < line.x[low] || at > line.x[high]) return null;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (line.x[middle] <= at) low = middle;
    else high = middle - 1;
  }
  if (low === line.x.length - 1) return line.y[low];
  return line.y[low] + ((at - line.x[low]) / (line.x[low + 1] - line.x[low])) * (line.y[low + 1] - line.y[low]);
}

// Two overlapping histograms over the same edges: {name, shares, class}.
function histogram(title, xAxis, edges, groups) {
  const highest = Math.max(...groups.flatMap((group) => group.shares)) * 100;
  const yAxis = { low: 0, high: highest * 1.05 || 1, label: "% of the sentences" };
  const { root, x, y } = frame(title, xAxis, yAxis);
  for (const group of groups) {
    group.shares.forEach((share, i) => {
      root.append(svg("rect", { class: `bin ${group.class}`, x: x(edges[i]), width: Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 0.5),
        y: y(share * 100), height: y(0) - y(share * 100) }));
    });
  }
  const bins = edges.length - 1;
  const stops = Array.from({ length: bins }, (_, i) => (i + 0.5) / bins);
  readable(root, stops, (share) => {
    const i = Math.min(bins - 1, Math.floor(share * bins));
    return { share: stops[i], heading: `${short(edges[i])} to ${short(edges[i + 1])}`,
      rows: groups.map((group) => [group.name, `${(group.shares[i] * 100).toFixed(1)} %`]) };
  });
  return root;
}

// A reading under the pointer, under a finger, or where the arrow keys go: to the next of the `stops`, shares of the
// x axis from 0 to 1. `read` takes such a share and gives the one where the rule is to stand, with a heading and rows
// for the tooltip. Where the keys have led, the reading goes along when the page scrolls, as it does once a chart below
// the window has got the focus.
function readable(root, stops, read) {
  const width = SIZE.width - SIZE.left - SIZE.right;
  const rule = svg("line", { class: "rule", y1: SIZE.top, y2: SIZE.height - SIZE.bottom, visibility: "hidden" });
  put(root, { tabindex: 0, "aria-describedby": "tip" }, [rule]);
  let place = -1;
  const leave = () => rule.setAttribute("visibility", "hidden");
  const show = (share, height, follows) => {
    const { share: at, heading, rows } = read(Math.max(0, Math.min(1, share)));
    place = at;
    const across = SIZE.left + place * width;
    const spot = () => {
      const box = root.getBoundingClientRect();
      const [left, top] = [box.left + (across / SIZE.width) * box.width + 14, height(box)];
      return { left, top, bottom: top };
    };
    tip.show(root, follows ? { getBoundingClientRect: spot } : spot(), heading, rows, leave);
    put(rule, { x1: across, x2: across, visibility: "visible" }, []);
  };
  const point = (event) => {
    const box = root.getBoundingClientRect();
    show((((event.clientX - box.left) / box.width) * SIZE.width - SIZE.left) / width, () => event.clientY, false);
  };
  root.addEventListener("pointermove", point);
  root.addEventListener("pointerdown", point);
  root.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") tip.hide(root); // what a finger was put on stays until the page scrolls
  });
  root.addEventListener("blur", () => tip.hide(root));
  root.addEventListener("keydown", (event) => {
    const [first, last] = [stops[0], stops[stops.length - 1]];
    const moves = {
      ArrowRight: stops.find((stop) => stop > place + 1e-9) ?? last,
      ArrowLeft: stops.findLast((stop) => stop < place - 1e-9) ?? first,
      Home: first,
      End: last,
    };
    if (event.key === "Escape") tip.hide(root);
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key], (box) => box.top + 0.4 * box.height, true);
  });
}

function chartBox(heading, note, chart, entries) {
  return element("figure", {}, element("figcaption", {}, element("strong", {}, heading), note ? ` ${note}` : null),
    chart, element("ul", { class: "key" }, ...entries.map(([name, kind]) => element("li", {}, element("span", { class: `swatch ${kind}` }), name))));
}
