// The personas that this account may use: its own first.

import { call, explain } from "../studio/api.js";
import { $, el } from "../studio/dom.js";

let next = null;

function item(persona) {
  const address = `/personas/${encodeURIComponent(persona.id)}`;
  return el(
    "li",
    { class: "persona-item" },
    el(
      "div",
      { class: "talk-about" },
      el("a", { href: address, class: "talk-link", dir: "auto" }, persona.name),
      el("span", { class: "faint", dir: "auto" }, persona.description || "No description"),
    ),
    el("span", { class: "faint language" }, persona.language),
    el("span", { class: `tag plain ${persona.shared ? "" : "good"}` }, persona.shared ? "Everybody's" : "Yours"),
  );
}

async function load(path) {
  try {
    const page = await call("GET", path);
    const rows = [...page.results].sort((one, other) => one.shared - other.shared);
    $("personas").append(...rows.map(item));
    next = page.next;
    $("more").hidden = !next;
  } catch (error) {
    $("personas").replaceChildren(el("li", { class: "notice bad" }, explain(error)));
  }
  $("personas").removeAttribute("aria-busy");
}

$("more").addEventListener("click", async () => {
  const known = $("personas").childElementCount;
  await load(next);
  $("personas").children[known]?.querySelector("a")?.focus();
});
load("personas?limit=50");
