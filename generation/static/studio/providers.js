// The staff's page of providers: who is configured, who answers, and what went wrong last.

import { call, explain } from "./api.js";
import { $, el, when } from "./dom.js";

const REFRESH_MS = 10_000;
const KINDS = { tts: "Speaks", stt: "Understands speech", llm: "Answers", embedding: "Makes vectors", cloning: "Copies voices", listing: "Lists its voices" };
const COUNTED = new Set(["tts", "stt", "llm", "embedding"]);

async function look() {
  try {
    show(await call("GET", "providers"));
    $("failure").hidden = true;
  } catch (error) {
    $("failure").textContent = explain(error);
    $("failure").hidden = false;
  }
}

function show(providers) {
  const used = providers.filter((one) => one.configured);
  const others = providers.filter((one) => !one.configured);
  const well = used.filter((one) => one.reachable !== false).length;
  $("used").replaceChildren(...used.map(card));
  $("used").removeAttribute("aria-busy");
  $("others").replaceChildren(...others.map(other));
  $("others-section").hidden = !others.length;
  $("summary").textContent = `${used.length} configured${well < used.length ? `, ${used.length - well} out of reach` : ""}`;
}

function card(provider) {
  const facts = [provider.id, provider.voices ? `${provider.voices} voices` : "", provider.probe && provider.reachable ? `connects in ${Math.round(provider.probe.ms)} ms` : ""];
  return el(
    "li",
    { class: "card provider" },
    el(
      "div",
      { class: "provider-head" },
      el("div", {}, el("h3", {}, provider.name), el("p", { class: "faint num" }, facts.filter(Boolean).join(" · "))),
      state(provider),
    ),
    el("ul", { class: "kinds" }, ...provider.kinds.map((kind) => line(kind, provider))),
  );
}

function state({ reachable, probe, checked_at, kinds }) {
  const [word, tone] = kinds.some((kind) => kind.breaker_open)
    ? ["Left alone", "warn"]
    : reachable === null
      ? ["Not probed", "plain"]
      : reachable
        ? ["Reachable", "good"]
        : [probe?.error === "timeout" ? "No answer" : "Unreachable", "bad"];
  return el("span", { class: `tag ${tone}`, title: checked_at ? `Looked ${when(checked_at)}` : undefined }, word);
}

function line(kind, provider) {
  const facts = [];
  if (kind.place) facts.push(kind.place === 1 ? "asked first" : `asked as number ${kind.place}`);
  if (COUNTED.has(kind.kind)) facts.push(`${kind.served} served`, kind.failed ? `${kind.failed} failed` : "");
  if (kind.kind === "listing") facts.push(listed(provider.listing));
  const node = el(
    "li",
    { class: "kind" },
    el("span", { class: "kind-name" }, KINDS[kind.kind]),
    el("span", { class: "kind-time num", title: "Median time to the first sound, word or token" }, kind.median_first_ms === null ? "" : `${Math.round(kind.median_first_ms)} ms`),
    el("span", { class: "kind-facts faint num" }, ...facts.filter(Boolean).map((fact) => el("span", {}, fact))),
  );
  if (kind.last_error) node.append(el("span", { class: "kind-error num" }, `${kind.last_error.code}, ${when(kind.last_error.at)}`));
  if (kind.breaker_open) node.append(el("span", { class: "kind-error" }, "It failed repeatedly: requests pass it over for a while."));
  return node;
}

function listed(listing) {
  if (!listing) return "not asked yet";
  if (listing.error_code) return `failed: ${listing.error_code}`;
  return listing.listed_at ? `asked ${when(listing.listed_at)}` : "not asked yet";
}

function other(provider) {
  const does = provider.kinds.map((kind) => KINDS[kind.kind].toLowerCase()).join(", ");
  const needs = el("span", { class: "faint" }, ...provider.credentials.flatMap((name, at) => [at ? " and " : "needs ", el("code", {}, name)]));
  return el("li", { class: "other" }, el("span", {}, el("strong", {}, provider.name), el("span", { class: "faint" }, ` ${does}`)), needs);
}

look();
setInterval(() => document.hidden || look(), REFRESH_MS);
