// The page of models: which can be used, why the others cannot, and how fast and busy they are.

import { call, explain } from "./api.js";
import { $, el } from "./dom.js";

const REFRESH_MS = 5_000;
const BACKENDS = { local: "drawn by this service", omnirt: "drawn by OmniRT", direct_ws: "drawn by its own server", http: "drawn by its own server" };

async function look() {
  try {
    show(await call("GET", "models"));
    $("failure").hidden = true;
  } catch (error) {
    $("failure").textContent = explain(error);
    $("failure").hidden = false;
  }
}

function show(models) {
  const here = models.filter((model) => model.configured).sort((one, other) => rank(one) - rank(other));
  const others = models.filter((model) => !model.configured);
  const usable = here.filter((model) => rank(model) === 0).length;
  $("here").replaceChildren(...here.map(card));
  $("here").removeAttribute("aria-busy");
  $("others").replaceChildren(...others.map(other));
  $("others-section").hidden = !others.length;
  const text = `${usable} of ${models.length} ready`;
  if ($("summary").textContent !== text) $("summary").textContent = text; // it is read out when it changes
}

/** Those that can be used come first. */
const rank = ({ reasons }) => (reasons.clips || reasons.sessions ? (reasons.clips && reasons.sessions ? 2 : 1) : 0);

function card(model) {
  const facts = [model.id, BACKENDS[model.backend] ?? model.backend, size(model.profile)];
  return el(
    "li",
    { class: "card model", "data-model": model.id },
    el("div", { class: "model-head" }, el("div", {}, el("h3", {}, model.name), el("p", { class: "faint num" }, facts.filter(Boolean).join(" · "))), state(model)),
    model.summary && el("p", { class: "muted" }, model.summary),
    ...why(model),
    figures(model),
    model.workers.length > 0 && el("ul", { class: "model-workers", "aria-label": `Workers of ${model.name}` }, ...model.workers.map(worker)),
    model.licence && el("p", { class: "faint model-foot" }, `Weights: ${model.licence}`),
  );
}

const size = ({ width, height }) => (width && height ? `${width}×${height}` : "");

function state(model) {
  const { clips, sessions } = model.reasons;
  const [word, tone] = !clips && !sessions ? ["Ready", "good"] : clips && sessions ? ["Not available", "bad"] : clips ? ["Live only", "warn"] : ["Clips only", "warn"];
  return el("span", { class: `tag ${tone}` }, word);
}

function why({ reasons }) {
  const bad = reasons.clips && reasons.sessions ? " bad" : "";
  const said = [...new Set([reasons.clips, reasons.sessions].filter(Boolean))];
  // The same for both but for the word: once is enough.
  const shown = bad && said.every((text) => text.startsWith("No worker draws")) ? ["No worker draws with it at the moment. Work that was accepted waits until one does."] : said;
  return shown.map((text) => el("p", { class: `model-why${bad}` }, text));
}

function figures(model) {
  const { total, free } = model.slots;
  const { render_fps: fps, first_frame_ms: first } = model.measured;
  return el(
    "dl",
    { class: "model-figures num" },
    figure("Waiting in line", model.queue_depth === null ? "–" : String(model.queue_depth), model.queue_depth === 1 ? "piece of a clip" : "pieces of clips"),
    figure("Live places free", total ? String(free) : "–", total ? `of ${total}` : "none here"),
    figure("Drawn per worker", fps === null ? "–" : fps.toFixed(fps < 100 ? 1 : 0), fps === null ? "not measured yet" : "frames a second"),
    figure("First picture", first === null ? "–" : String(Math.round(first)), first === null ? "not measured yet" : "ms"),
  );
}

const figure = (name, value, unit) => el("div", {}, el("dt", {}, name), el("dd", {}, value, " ", el("small", {}, unit)));

function worker(one) {
  const fps = one.fps === null ? "" : `${one.fps.toFixed(1)} fps`;
  const facts = [one.device, one.memory_mb ? `${memory(one.free_mb)} of ${memory(one.memory_mb)} free` : "", one.first_frame_ms === null ? "" : `first picture ${Math.round(one.first_frame_ms)} ms`];
  return el(
    "li",
    { class: "model-worker" },
    el("strong", {}, one.name),
    el("span", { class: "num" }, fps),
    el("span", { class: "wide faint num" }, facts.filter(Boolean).join(" · ")),
    one.problem && el("span", { class: "wide kind-error" }, one.problem),
  );
}

const memory = (mb) => (mb >= 1024 ? `${(mb / 1024).toFixed(1)} GB` : `${mb} MB`);

function other(model) {
  return el(
    "li",
    { class: "other", "data-model": model.id },
    el("span", {}, el("strong", {}, model.name), el("span", { class: "faint" }, ` ${model.summary}`)),
    el("span", { class: "faint" }, model.reason ?? ""),
  );
}

look();
setInterval(() => document.hidden || look(), REFRESH_MS);
