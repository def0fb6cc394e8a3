// Small helpers. Text goes in as text nodes only, so nothing a person typed can become markup.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !name.startsWith("aria")) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const ICONS = {
  play: '<path d="M6 4.200v11.600a.6.6 0 0 0 .9.5l9.300-5.800a.6.6 0 0 0 0-1L6.900 3.700a.6.6 0 0 0-.9.5Z" fill="currentColor" stroke="none"/>',
  check: '<path d="m4.500 10.500 3.500 3.500 7.500-8"/>',
  download: '<path d="M10 3.500v9m-3.500-3.200L10 12.700l3.500-3.400M4 16.500h12"/>',
  trash: '<path d="M4 6h12M8 6V4.500h4V6m-6.500 0 .7 10h7.600l.7-10"/>',
  again: '<path d="M15.500 10a5.500 5.500 0 1 1-1.700-4M14 2.800V6h-3.200"/>',
  stop: '<path d="m5.500 5.500 9 9m0-9-9 9"/>',
};

/** Icons are constants of this file. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 20 20",
    fill: "none",
    stroke: "currentColor",
    "stroke-width": "1.7",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
    "aria-hidden": "true",
  })) {
    svg.setAttribute(key, value);
  }
  svg.innerHTML = ICONS[name];
  return svg;
}

export function toast(text) {
  const node = el("div", { class: "toast" }, text);
  $("toasts").append(node);
  setTimeout(() => node.remove(), 6000);
}

export function debounce(wait, action) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), wait);
  };
}

export function clock(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function lasting(milliseconds) {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  return seconds < 60 ? `${seconds} second${seconds === 1 ? "" : "s"}` : `${clock(milliseconds)} min`;
}

export function when(iso) {
  const at = new Date(iso);
  const minutes = Math.round((Date.now() - at) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.round(minutes / 60)} h ago`;
  return at.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

const asked = new WeakMap(); // by dialog, what takes the answer to the question that was asked last

/** Open a dialog that asks; resolves to whether the person said yes. */
export function agreed(dialog) {
  // "close" comes a while after closing: by then the next question may be there already.
  const settle = () => {
    if (dialog.open) return;
    asked.get(dialog)?.(dialog.returnValue === "yes");
    asked.delete(dialog);
  };
  settle();
  dialog.returnValue = "no";
  dialog.onclose = settle;
  dialog.showModal();
  return new Promise((resolve) => asked.set(dialog, resolve));
}

/** Ask before something is lost; resolves to whether the person agreed. */
export function confirmed({ title, text, yes = "Delete" }) {
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  return agreed($("confirm"));
}
