// The list of sentences: choose, sort, search, filter; tokens coloured by a measure, values under pointer or arrows.

const PAGE = 25;
// Columns of which a small value is the unsure one, and how to turn them.
const TURNED = { precision: (value) => -Math.log(Math.max(value, 1e-30)), log_probability: (value) => -value };

const view = { system: data.first_system, set: data.in_domain, color: "", sort: "", descending: true, search: "", worst: null, shown: PAGE };

function rowsOf(system, set) {
  return (data.sentences[set] && data.sentences[set][system]) || [];
}

function tokenMeasures() {
  const rows = rowsOf(view.system, view.set);
  return rows.length ? Object.keys(rows[0].token_measures) : [];
}

function doubt(name, value) {
  return TURNED[name] ? TURNED[name](value) : value;
}

// Colour runs from the 5th to the 95th percentile of the tokens listed for this system's in-domain set.
function colorScale() {
  const values = rowsOf(view.system, data.in_domain).flatMap((row) => (row.token_measures[view.color] || []).map((v) => doubt(view.color, v))).sort((a, b) => a - b);
  const at = (share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
  const [low, high] = values.length ? [at(0.05), at(0.95)] : [0, 1];
  return (value) => Math.max(0, Math.min(1, (doubt(view.color, value) - low) / (high - low || 1)));
}

function sortKey(row) {
  if (view.sort === "id") return row.id;
  return view.sort === "quality" ? row.quality : row.measures[view.sort];
}

function selected() {
  const words = view.search.toLocaleLowerCase();
  const bound = view.worst;
  const rows = rowsOf(view.system, view.set).filter((row) => {
    const texts = [row.source, row.text, row.reference || "", String(row.id)];
    if (words && !texts.some((text) => text.toLocaleLowerCase().includes(words))) return false;
    if (bound === null) return true;
    return row.quality !== null && (data.quality_higher_is_better ? row.quality <= bound : row.quality >= bound);
  });
  const direction = view.descending ? -1 : 1;
  return rows.sort((a, b) => direction * (sortKey(a) - sortKey(b)) || a.id - b.id);
}

function drawTokens(row, scale) {
  const values = row.token_measures[view.color] || [];
  const box = element("p", { class: "tokens", tabindex: 0, role: "group", "aria-describedby": "tip", "aria-label": "Translation; arrow keys step through its tokens" });
  row.tokens.forEach((token, i) => {
    const starts = token.startsWith("▁");
    let text = starts ? token.slice(1) : token;
    const continues = text.endsWith("@@");
    if (continues) text = text.slice(0, -2);
    const end = token === "</s>";
    // Sentence pieces open a word with a mark; BPE marks the pieces that go on; else tokens are words.
    const pieces = row.tokens.some((other) => other.startsWith("▁"));
    const previous = i ? row.tokens[i - 1] : "";
    if (i && (end || (pieces ? starts : !previous.endsWith("@@")))) box.append(" ");
    const span = element("span", { class: end ? "token end" : "token", "data-index": i }, end ? "end" : text || "\u00a0");
    if (values.length) span.style.setProperty("--heat", scale(values[i]).toFixed(3));
    box.append(span);
  });
  box.row_ = row;
  return box;
}

function drawSentence(row, scale) {
  const measure = view.sort in row.measures ? view.sort : Object.keys(row.measures)[0];
  const facts = element("header", {}, element("span", { class: "id" }, `#${row.id}`),
    element("span", {}, `${measure} `, element("b", {}, digits(row.measures[measure]))),
    row.quality === null ? null : element("span", {}, `${data.quality} `, element("b", {}, row.quality.toFixed(1))));
  const line = (name, node) => element("div", { class: "line" }, element("span", { class: "what" }, name), node);
  const others = data.systems.filter((system) => system !== view.system)
    .map((system) => [system, rowsOf(system, view.set).find((other) => other.id === row.id)]).filter(([, other]) => other);
  return element("li", { class: "card", "data-id": row.id }, facts,
    line("source", element("p", { dir: "auto" }, row.source)),
    line("translation", drawTokens(row, scale)),
    row.reference === null ? null : line("reference", element("p", { dir: "auto" }, row.reference)),
    others.length ? element("details", {}, element("summary", {}, "Other systems"), ...others.map(([system, other]) => {
      const value = other.measures[measure];
      return line(system, element("p", { dir: "auto" }, other.text,
        element("small", {}, [value === undefined ? "" : ` ${measure} ${digits(value)}`, other.quality === null ? "" : ` ${data.quality} ${other.quality.toFixed(1)}`].join(","))));
    })) : null);
}

function countText(found) {
  const rows = rowsOf(view.system, view.set);
  const total = data.sizes[view.set];
  const number = (count) => count.toLocaleString("en");
  const listed = rows.length < total
    ? `${number(rows.length)} of the ${number(total)} sentences of ${view.set} are listed here: half of them the least sure, the rest spread evenly.`
    : `All ${number(total)} sentences of ${view.set} are listed here.`;
  if (view.worst !== null && rows.every((row) => row.quality === null)) return `${listed} None has a reference, so there is no ${data.quality} to choose by.`;
  return found < rows.length ? `${listed} ${number(found)} of them fit.` : listed;
}

function drawSentences() {
  tip.hide();
  const rows = selected();
  const scale = colorScale();
  byId("list").replaceChildren(...rows.slice(0, view.shown).map((row) => drawSentence(row, scale)));
  byId("more").hidden = rows.length <= view.shown;
  byId("count").textContent = countText(rows.length);
  byId("scale").replaceChildren("Sure ", element("span", { class: "ramp", "aria-hidden": "true" }), ` unsure, by ${view.color || "nothing"}.`);
}

function change(changes) {
  Object.assign(view, changes, { shown: PAGE });
  drawSentences();
}

function orderText() {
  return view.descending ? "↓ Largest first" : "↑ Smallest first";
}

function drawSentenceControls() {
  const rows = rowsOf(view.system, view.set);
  const measures = rows.length ? Object.keys(rows[0].measures) : [];
  const columns = tokenMeasures();
  if (!columns.includes(view.color)) [view.color = ""] = columns;
  if (!["id", "quality", ...measures].includes(view.sort)) [view.sort] = measures;
  const names = (list) => list.map((name) => [name, measureText(name)]);
  const rebuild = (changes) => {
    Object.assign(view, changes);
    drawSentenceControls();
    change({});
  };
  const order = element("button", { id: "direction", type: "button", onclick: () => {
    view.descending = !view.descending;
    order.textContent = orderText();
    change({});
  } }, orderText());
  const bound = element("input", { id: "bound", type: "number", step: "any", inputmode: "decimal", value: view.worst,
    oninput: () => change({ worst: bound.value === "" ? null : Number(bound.value) }) });
  const search = element("input", { id: "search", type: "search", value: view.search, oninput: () => change({ search: search.value }) });
  const labelled = (text, control) => element("label", {}, element("span", {}, text), control);
  byId("sentence-controls").replaceChildren(
    menu("System", data.systems.filter((s) => data.sentences[view.set][s]).map((s) => [s, s]), view.system, (system) => rebuild({ system }), "system"),
    menu("Set", Object.keys(data.sentences).filter((s) => data.sentences[s][view.system]).map((s) => [s, s]), view.set, (set) => rebuild({ set }), "set"),
    menu("Colour by", names(columns), view.color, (color) => change({ color }), "color"),
    menu("Sort by", [...names(measures), ["quality", data.quality], ["id", "line number"]], view.sort, (sort) => change({ sort }), "sort"),
    labelled("Order", order),
    labelled(`${data.quality} at ${data.quality_higher_is_better ? "most" : "least"}`, bound),
    labelled("Search", search));
}

function showToken(box, index) {
  const spans = box.querySelectorAll(".token");
  const i = Math.max(0, Math.min(spans.length - 1, index));
  box.current_ = i;
  const row = box.row_;
  const values = Object.entries(row.token_measures).map(([name, list]) => [name, list[i], name === view.color]);
  tip.show(byId("list"), spans[i], row.tokens[i], values, () => spans[i].classList.remove("current"));
  spans[i].classList.add("current");
}

function hideToken() {
  tip.hide(byId("list"));
}

function listenToTokens() {
  const list = byId("list");
  const point = (event) => {
    const token = event.target.closest(".token");
    if (token) showToken(token.parentElement, Number(token.dataset.index));
    else hideToken();
  };
  list.addEventListener("pointerover", point);
  list.addEventListener("click", point);
  list.addEventListener("pointerleave", hideToken);
  list.addEventListener("focusout", hideToken);
  list.addEventListener("keydown", (event) => {
    const box = event.target;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") hideToken();
    if (!box.classList.contains("tokens") || (!step && event.key !== "Home" && event.key !== "End")) return;
    event.preventDefault();
    const from = box.current_ === undefined ? -1 : box.current_;
    showToken(box, step ? from + step : event.key === "Home" ? 0 : Infinity);
  });
  byId("more").addEventListener("click", () => {
    view.shown += PAGE;
    drawSentences();
  });
}
