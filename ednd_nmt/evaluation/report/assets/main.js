// Putting the page together.

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light mode" : "Dark mode";
}

function start() {
  const sizes = Object.entries(data.sizes).map(([name, size]) => `${name} ${size.toLocaleString("en")}`).join(", ");
  byId("summary").textContent = `${data.systems.join(", ")} · sentences: ${sizes} · error: ${errorText()}`;
  setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches);
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  window.addEventListener("scroll", () => tip.scrolled(), { passive: true });
  drawTables();
  if (data.measures.length) {
    drawCurveControls();
    drawCurves();
  }
  drawReliability();
  drawSentenceControls();
  drawSentences();
  listenToTokens();
}

start();
