// What the pages need beyond HTML: moments in the viewer's zone, following changes, keys, the theme.

const main = () => document.getElementById("main");

// Moments: the server writes UTC; here they become the viewer's, exact on hover.
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
const dayOfYear = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  for (const [size, unit, smaller, name] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (seconds < size) continue;
    const whole = Math.floor(seconds / size), rest = Math.floor((seconds % size) / smaller);
    return rest && unit !== "min" ? `${whole} ${unit} ${rest} ${name}` : `${whole} ${unit}`;
  }
  return "";
}

function tell(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime), away = (Date.now() - at) / 1000;
    const texts = {
      ago: () => (away >= 0 ? `${span(away)} ago` : `in ${span(-away)}`),
      time: () => clock.format(at),
      full: () => (Math.abs(away) > 200 * 86400 ? dayOfYear.format(at) : day.format(at)),
    };
    const text = texts[element.dataset.style || "full"]();
    if (element.textContent !== text) element.textContent = text;
    element.title = `${exact.format(at)}\n${element.dateTime}`;
  }
}

// Following changes: the server sends the main part anew; what differs is put in place, so that focus, scrolling and
// what was opened stay.
function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
}

function settle(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue && !old.parentElement?.matches("time")) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open")) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.nodeName === "DETAILS" && name === "open") continue;
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old === document.activeElement && old.matches("input, select, textarea")) return;
  const next = [...fresh.childNodes];
  for (let n = 0; n < next.length; n++) {
    const here = old.childNodes[n];
    if (!here) old.append(next[n]);
    else if (same(here, next[n])) settle(here, next[n]);
    else here.replaceWith(next[n]);
  }
  while (old.childNodes.length > next.length) old.lastChild.remove();
}

let stream = null;
function follow() {
  if (stream || document.hidden || !main()?.hasAttribute("data-live")) return;
  stream = new EventSource(location.pathname + location.search);
  stream.addEventListener("page", ({ data }) => {
    const fresh = main().cloneNode(false);
    fresh.innerHTML = data;
    settle(main(), fresh);
    tell(main());
    document.body.classList.add("connected");
  });
  stream.addEventListener("trouble", () => document.body.classList.remove("connected"));
  stream.onerror = () => document.body.classList.remove("connected");
}
function rest() {
  stream?.close();
  stream = null;
}

// Keys: / finds, g and a letter goes, j and k move over rows, ? helps.
let waiting = 0;
function move(by) {
  const rows = [...main().querySelectorAll("a.row")];
  const here = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(here + by, 0), rows.length - 1)]?.focus();
}
function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (Date.now() - waiting < 1500) {
    waiting = 0;
    document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
  } else if (event.key === "g") waiting = Date.now();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") document.getElementById("keys")?.showModal();
  else if (event.key === "/") {
    const field = main().querySelector("[data-find]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select?.();
  }
}

function clicked(event) {
  const button = event.target.closest("[data-do]");
  if (button?.dataset.do === "theme") {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("wayfarer-theme", next);
  }
  if (button?.dataset.do === "keys") document.getElementById("keys").showModal();
  if (button?.dataset.do === "menu") {
    const open = document.body.classList.toggle("menu-open");
    button.setAttribute("aria-expanded", String(open));
  }
}

document.addEventListener("keydown", pressed);
document.addEventListener("click", clicked);
document.addEventListener("change", (event) => event.target.matches("form[data-filter] select") && event.target.form.requestSubmit());
document.addEventListener("submit", (event) => {
  // Fields left empty stay out of the address.
  if (!event.target.matches("form[data-filter]")) return;
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
});
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
addEventListener("pagehide", rest);
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-filter] :disabled")) field.disabled = false;
  follow();
});
// Where there is room all filters show; a flow shows where it begins, or where somebody stands.
function arrange() {
  const more = document.getElementById("more-filters");
  if (more && matchMedia("(min-width: 821px)").matches) more.open = true;
  for (const flow of document.querySelectorAll(".flow")) {
    const box = (flow.querySelector(".current") || flow.querySelector(".cap"))?.getBoundingClientRect();
    const frame = flow.getBoundingClientRect();
    if (box) flow.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
  }
}
document.addEventListener("DOMContentLoaded", () => {
  arrange();
  tell(document);
  setInterval(() => tell(document), 5000);
  follow();
});
