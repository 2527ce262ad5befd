"use strict";
// Text reaches the page through text nodes and attributes only, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function element(tag, attributes, ...children) {
  return put(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

// A labelled menu; `options` are [value, text] pairs. Returns the label with `.control` set to the select.
function menu(text, options, value, onchange, id) {
  const select = element("select", { id, onchange: () => onchange(select.value) },
    ...options.map(([key, name]) => element("option", { value: key, selected: key === value }, name)));
  const label = element("label", {}, element("span", {}, text), select);
  label.control_ = select;
  return label;
}

function measureText(name) {
  const meaning = data.measure_names[name];
  return meaning ? `${name}: ${meaning}` : name;
}

// Three significant digits for reading, as few as needed of them on an axis; exact values stand in the hover.
function digits(value) {
  return value === 0 ? "0" : Math.abs(value) >= 1000 || Math.abs(value) < 0.001
    ? value.toExponential(1) : value.toPrecision(3);
}

function short(value) {
  const text = digits(value);
  return text.includes("e") ? text : String(Number(text));
}

// The one tooltip of the page: rows of [name, value], placed beside `target` and kept inside the window. `leave` is
// called when it goes; an owner that loses the focus or the pointer takes away its own only.
const tip = {
  show(owner, target, heading, rows, leave) {
    this.hide();
    const box = byId("tip");
    box.replaceChildren(element("strong", {}, heading),
      element("table", {}, ...rows.map(([name, value, current]) => element("tr", { class: current ? "current" : null },
        element("th", { scope: "row" }, name), element("td", {}, String(value))))));
    box.hidden = false;
    Object.assign(this, { owner, target, leave });
    this.place();
  },
  place() {
    const box = byId("tip");
    const spot = this.target.getBoundingClientRect ? this.target.getBoundingClientRect() : this.target;
    const left = Math.max(8, Math.min(spot.left, document.documentElement.clientWidth - box.offsetWidth - 8));
    const below = spot.bottom + 8;
    const top = below + box.offsetHeight > window.innerHeight ? spot.top - box.offsetHeight - 8 : below;
    box.style.left = `${left}px`;
    box.style.top = `${Math.max(8, top)}px`;
  },
  // A token and the place of the keys take their tooltip along when the page scrolls; a reading under the pointer goes.
  scrolled() {
    if (byId("tip").hidden) return;
    if (this.target.getBoundingClientRect) this.place();
    else this.hide();
  },
  hide(owner) {
    if (owner && owner !== this.owner) return;
    byId("tip").hidden = true;
    if (this.leave) this.leave();
    this.leave = null;
  },
};
