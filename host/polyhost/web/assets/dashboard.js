// Clicks become events for the server; the clock and what is left count on by themselves between two pictures.
"use strict";

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-act]");
  if (!target) return;
  const { act, ...data } = target.dataset;
  if (act === "theme") turnTheme();
  else emitEvent("act", { act, ...data });
});

// --- light and dark: the system's, until somebody chooses -----------------------------------------------------------
const THEME = "polyhost-theme";
function stored() {
  try { return localStorage.getItem(THEME); } catch { return null; }
}
function turnTheme() {
  const dark = !document.body.classList.contains("body--dark");
  try { localStorage.setItem(THEME, dark ? "dark" : "light"); } catch { /* not kept, then */ }
  Quasar.Dark.set(dark);
}
function applyTheme() {
  const chosen = stored();
  if (chosen && window.Quasar && (chosen === "dark") !== document.body.classList.contains("body--dark")) {
    Quasar.Dark.set(chosen === "dark");
  }
}
document.addEventListener("DOMContentLoaded", () => {
  applyTheme(); // the page was mounted before, in most browsers
  new MutationObserver(applyTheme).observe(document.body, { attributes: true, attributeFilter: ["class"] });
});

// --- market time -----------------------------------------------------------------------------------------------------
const AHEAD_MS = 5000; // without news from the server the clock stops after so much wall time
let told = "", base = 0, since = 0, speed = 0;

function pad(number) { return String(number).padStart(2, "0"); }
function left(ms) {
  const s = Math.max(Math.floor(ms / 1000), 0), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h ? `${h}:${pad(m)}:${pad(s % 60)}` : `${m}:${pad(s % 60)}`;
}
function tick() {
  const clock = document.getElementById("clock");
  if (!clock) return;
  if (clock.dataset.now !== told) {
    told = clock.dataset.now;
    base = Number(told);
    speed = Number(clock.dataset.speed);
    since = performance.now();
  }
  const now = base + Math.min(performance.now() - since, AHEAD_MS) * speed;
  const text = new Date(now).toISOString().slice(11, 19) + clock.textContent.slice(8);
  if (clock.textContent !== text) clock.textContent = text;
  for (const each of document.querySelectorAll("[data-until]")) {
    const rest = left(Number(each.dataset.until) - now);
    if (each.textContent !== rest) each.textContent = rest;
  }
}
setInterval(tick, 250);

// --- the keyboard stays where it was when a part is drawn anew --------------------------------------------------------
let focused = null;
function mark(element) { return JSON.stringify({ ...element.dataset }); }
document.addEventListener("focusin", (event) => {
  focused = event.target.matches("[data-act]") ? mark(event.target) : null;
});
new MutationObserver(() => {
  if (!focused || document.activeElement !== document.body) return;
  for (const each of document.querySelectorAll("[data-act]")) {
    if (mark(each) === focused) { each.focus({ preventScroll: true }); return; }
  }
}).observe(document, { childList: true, subtree: true });
