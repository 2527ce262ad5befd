// Line charts and histograms as inline SVG with a reading under the pointer.

const SIZE = { width: 380, height: 270, left: 46, right: 12, top: 12, bottom: 40 };

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
    root.append(svg("polyline", { class: `line ${line.class}`, points: line.x.map((value, i) => `${x(value)},${y(line.y[i])}`).join(" ") }));
  }
  const rule = svg("line", { class: "rule", y1: SIZE.top, y2: SIZE.height - SIZE.bottom, visibility: "hidden" });
  root.append(rule);
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * SIZE.width - SIZE.left) / (SIZE.width - SIZE.left - SIZE.right);
    const at = xAxis.low + Math.max(0, Math.min(1, share)) * (xAxis.high - xAxis.low);
    put(rule, { x1: x(at), x2: x(at), visibility: "visible" }, []);
    const spot = { left: event.clientX + 14, top: event.clientY, bottom: event.clientY };
    tip.show(spot, `${xAxis.label}: ${short(at)}`, series.map((line) => [line.name, short(valueAt(line, at))]));
  });
  root.addEventListener("pointerleave", () => {
    rule.setAttribute("visibility", "hidden");
    tip.hide();
  });
  return root;
}

// Dots on a drawn line, the larger the more sentences stand behind them.
function markPoints(root, [xAxis, yAxis], line, counts) {
  const { x, y } = frame("", xAxis, yAxis);
  const most = Math.max(...counts);
  line.x.forEach((value, i) => root.append(svg("circle", { class: `dot ${line.class}`, cx: x(value), cy: y(line.y[i]), r: 3 + 6 * Math.sqrt(counts[i] / most) })));
}

// The last point at or before `at`; steps go up at a point.
function valueAt(line, at) {
  let low = 0;
  let high = line.x.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (line.x[middle] <= at) low = middle;
    else high = middle - 1;
  }
  return line.y[low];
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
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * SIZE.width;
    const i = edges.findIndex((edge, index) => index < edges.length - 1 && at >= x(edge) && at < x(edges[index + 1]));
    if (i < 0) return tip.hide();
    const spot = { left: event.clientX + 14, top: event.clientY, bottom: event.clientY };
    return tip.show(spot, `${short(edges[i])} to ${short(edges[i + 1])}`, groups.map((group) => [group.name, `${(group.shares[i] * 100).toFixed(1)} %`]));
  });
  root.addEventListener("pointerleave", () => tip.hide());
  return root;
}

function chartBox(heading, note, chart, entries) {
  return element("figure", {}, element("figcaption", {}, element("strong", {}, heading), note ? ` ${note}` : null),
    chart, element("ul", { class: "key" }, ...entries.map(([name, kind]) => element("li", {}, element("span", { class: `swatch ${kind}` }), name))));
}
