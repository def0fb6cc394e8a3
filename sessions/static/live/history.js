// Every conversation of this account, newest first.

import { call, explain } from "../studio/api.js";
import { $, clock, confirmed, debounce, el, icon, toast, when } from "../studio/dom.js";
import { talkStatus } from "./talks.js";

const PAGE = 20;
let next = null;
let asked = 0;

async function load() {
  const mine = ++asked;
  const query = new URLSearchParams({ limit: String(PAGE) });
  if ($("search").value.trim()) query.set("search", $("search").value.trim());
  if ($("status").value) query.set("status", $("status").value);
  let page;
  try {
    page = await call("GET", `sessions?${query}`);
  } catch (error) {
    $("talks").replaceChildren(el("li", { class: "notice bad" }, explain(error)));
    $("talks").removeAttribute("aria-busy");
    return;
  }
  if (mine !== asked) return; // an older answer that came late
  $("talks").replaceChildren();
  append(page);
  $("talks").removeAttribute("aria-busy");
}

function append(page) {
  $("talks").append(...page.results.map(item));
  next = page.next;
  $("more").hidden = !next;
  judge();
}

function judge() {
  const none = !$("talks").childElementCount;
  const searching = Boolean($("search").value.trim() || $("status").value);
  $("talks").hidden = none;
  $("empty").hidden = !none;
  $("empty-title").textContent = searching ? "Nothing found" : "No conversations yet";
  $("empty-text").textContent = searching ? "Try another word, or all conversations." : "Choose a face and start talking.";
}

function item(talk) {
  const address = `/sessions/${encodeURIComponent(talk.id)}`;
  const [word, tone] = talkStatus(talk);
  const face = el("span", { class: "talk-face" });
  if (talk.preview_url) face.append(el("img", { src: talk.preview_url, alt: "", loading: "lazy" }));
  const name = talk.avatar_name ?? "Avatar";
  const about = [talk.persona_name, talk.turns ? `${talk.turns} turn${talk.turns === 1 ? "" : "s"}` : null, talk.duration_ms ? clock(talk.duration_ms) : null];
  const line = el("li", { class: "talk-item" });
  const erase = el("button", { class: "button quiet icon danger", type: "button", "aria-label": `Erase: ${name}, ${when(talk.created_at)}`, title: "Erase" }, icon("trash"));
  erase.addEventListener("click", () => remove(talk, line));
  line.append(
    face,
    el(
      "div",
      { class: "talk-about" },
      el("a", { href: address, class: "talk-link" }, name),
      el("span", { class: "faint num" }, about.filter(Boolean).join(" · ") || "Nothing was said"),
    ),
    el("span", { class: `tag ${tone}` }, word),
    el("time", { class: "faint talk-when", dateTime: talk.created_at }, when(talk.created_at)),
    erase,
  );
  return line;
}

async function remove(talk, line) {
  const sure = await confirmed({
    title: "Erase this conversation?",
    text: "Its transcript and its recording are removed for good.",
    yes: "Erase",
  });
  if (!sure) return;
  try {
    await call("DELETE", `sessions/${encodeURIComponent(talk.id)}`);
  } catch (error) {
    toast(explain(error));
    return;
  }
  const neighbour = line.nextElementSibling ?? line.previousElementSibling;
  line.remove();
  judge();
  (neighbour?.querySelector("a") ?? $("search")).focus();
  toast("The conversation was erased.");
}

$("search").addEventListener("input", debounce(300, load));
$("status").addEventListener("change", load);
$("more").addEventListener("click", async () => {
  const known = $("talks").childElementCount;
  $("more").setAttribute("aria-busy", "true");
  try {
    append(await call("GET", next));
    $("talks").children[known]?.querySelector("a")?.focus();
  } catch (error) {
    toast(explain(error));
  }
  $("more").removeAttribute("aria-busy");
});
$("talks").append(...Array.from({ length: 5 }, () => el("li", { class: "talk-item" }, el("span", { class: "skeleton talk-skeleton" }))));
load();
