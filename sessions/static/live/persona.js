// One persona: its texts, what it may do, its documents, and what it would find for a question.

import { call, explain, upload } from "../studio/api.js";
import { $, confirmed, el, icon, toast } from "../studio/dom.js";

const TEXTS = ["name", "language", "description", "greeting", "system_prompt", "knowledge"];
const SIMPLE_TOOLS = ["end_call", "handover"];
const REFRESH_MS = 1500;
const MOST_BYTES = 20 * 1024 * 1024;
const CODES = { document_encrypted: "locked", document_without_text: "no text" };
let id = $("persona").dataset.persona;
let shown = null;
let next = null;
let timer = 0;
const isNew = () => id === "new";
const path = (rest = "") => `personas/${encodeURIComponent(id)}${rest}`;

// --- Its texts ---------------------------------------------------------------------------------

async function load() {
  if (!isNew()) {
    try {
      shown = await call("GET", path());
    } catch (error) {
      $("failure").textContent = error.status === 404 ? "There is no such persona, or it is not yours." : explain(error);
      $("failure").hidden = false;
      return;
    }
  }
  fill();
  $("body").hidden = false;
  if (isNew()) $("name").focus();
}

function fill() {
  const mine = isNew() || !shown.shared || Boolean($("persona").dataset.staff);
  $("title").textContent = shown?.name ?? "New persona";
  document.title = `${shown?.name ?? "New persona"} · Parley`;
  $("facts").textContent = shown ? [shown.slug, shown.id].join(" · ") : "";
  for (const name of TEXTS) $(name).value = shown?.[name] ?? "";
  for (const type of SIMPLE_TOOLS) $(`tool-${type}`).checked = Boolean(shown?.tools?.some((tool) => tool.type === type));
  const asked = (shown?.tools ?? []).filter((tool) => tool.type === "webhook");
  $("webhooks").hidden = !asked.length;
  $("webhooks").textContent = `It may also ask your server: ${asked.map((tool) => tool.name).join(", ")}. Change that over the API.`;
  $("topics").value = (shown?.topics ?? []).map(topicLine).join("\n");
  for (const field of $("form").elements) field.disabled = !mine;
  $("shared").hidden = mine;
  $("save").hidden = !mine;
  $("delete").hidden = isNew() || !mine;
  $("side").hidden = isNew() || !mine;
  if (!$("side").hidden) documents();
}

const topicLine = ({ name, phrases }) => (phrases?.length ? `${name}: ${phrases.join(", ")}` : name);

/** What stood there before keeps its answer and its action. */
function topics() {
  const before = new Map((shown?.topics ?? []).map((topic) => [topic.name, topic]));
  const lines = $("topics").value.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.map((line) => {
    const [name, ...rest] = line.split(":");
    const phrases = rest.join(":").split(",").map((phrase) => phrase.trim()).filter(Boolean);
    return { ...before.get(name.trim()), name: name.trim(), phrases };
  });
}

function tools() {
  const kept = (shown?.tools ?? []).filter((tool) => !SIMPLE_TOOLS.includes(tool.type) || $(`tool-${tool.type}`).checked);
  const added = SIMPLE_TOOLS.filter((type) => $(`tool-${type}`).checked && !kept.some((tool) => tool.type === type));
  return [...kept, ...added.map((type) => ({ type }))];
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("error").hidden = true;
  $("saved").textContent = "";
  const told = Object.fromEntries(TEXTS.map((name) => [name, $(name).value.trim()]));
  if (!told.language) delete told.language;
  $("save").setAttribute("aria-busy", "true");
  try {
    const json = { ...told, tools: tools(), topics: topics() };
    shown = isNew() ? await call("POST", "personas", { json }) : await call("PATCH", path(), { json });
    if (isNew()) {
      id = shown.id;
      history.replaceState(null, "", `/personas/${encodeURIComponent(id)}`);
    }
    fill();
    $("saved").textContent = "Saved. Conversations that have begun keep what they began with.";
  } catch (error) {
    $("error").textContent = error.errors?.length ? error.errors.map((one) => `${one.pointer.slice(1)}: ${one.detail}`).join(" ") : explain(error);
    $("error").hidden = false;
    $(error.pointer.split("/")[1] ?? "")?.focus();
  }
  $("save").removeAttribute("aria-busy");
});

$("delete").addEventListener("click", async () => {
  const text = "Its documents are removed for good. Conversations that go on keep its texts.";
  if (!(await confirmed({ title: "Delete this persona?", text, yes: "Delete" }))) return;
  try {
    await call("DELETE", path());
    location.assign("/personas/");
  } catch (error) {
    toast(explain(error));
  }
});

// --- Its documents -----------------------------------------------------------------------------

async function documents() {
  clearTimeout(timer);
  try {
    const page = await call("GET", path("/documents?limit=50"));
    $("documents").replaceChildren(...page.results.map(row));
    more(page);
    if (page.results.some((one) => one.status === "preparing")) timer = setTimeout(documents, REFRESH_MS);
  } catch (error) {
    $("documents").replaceChildren(el("li", { class: "notice bad" }, explain(error)));
  }
  $("documents").removeAttribute("aria-busy");
}

function more(page) {
  next = page.next;
  $("more").hidden = !next;
  $("documents-empty").hidden = $("documents").childElementCount > 0;
}

function row(one) {
  const [word, tone] = { ready: ["Ready", "good"], preparing: ["Being read", "busy"] }[one.status] ?? [CODES[one.failure?.code] ?? "Failed", "bad"];
  const count = (n, what) => (n ? `${n} ${what}${n === 1 ? "" : "s"}` : null);
  const about = [size(one.bytes), count(one.pages, "page"), count(one.passages, "passage")].filter(Boolean).join(" · ");
  const remove = el("button", { class: "button quiet icon danger", type: "button", "aria-label": `Remove ${one.name}`, title: "Remove" }, icon("trash"));
  remove.addEventListener("click", () => forget(one));
  return el(
    "li",
    { class: "document" },
    el("div", { class: "document-about" }, el("strong", { dir: "auto" }, one.name), el("span", { class: "faint num" }, about)),
    el("span", { class: `tag ${tone}` }, word),
    remove,
    one.failure && el("p", { class: "notice bad why" }, one.failure.message),
  );
}

const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1000))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

async function forget(one) {
  const text = `Nothing of ${one.name} is found any more.`;
  if (!(await confirmed({ title: "Remove this document?", text, yes: "Remove" }))) return;
  try {
    await call("DELETE", path(`/documents/${encodeURIComponent(one.id)}`));
    toast("The document was removed.");
  } catch (error) {
    toast(explain(error));
  }
  await documents();
  $("file").focus();
}

async function give(files) {
  $("drop").setAttribute("aria-busy", "true");
  for (const file of files) {
    if (file.size > MOST_BYTES) {
      toast(`${file.name} has more than 20 MB.`);
      continue;
    }
    const form = new FormData();
    form.append("file", file);
    try {
      await upload(path("/documents"), form, () => {});
    } catch (error) {
      toast(`${file.name}: ${explain(error)}`);
    }
    await documents();
  }
  $("drop").removeAttribute("aria-busy");
  $("file").value = "";
}

$("file").addEventListener("change", () => give([...$("file").files]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") give([...event.dataTransfer.files]);
  });
}
$("more").addEventListener("click", async () => {
  try {
    const page = await call("GET", next);
    $("documents").append(...page.results.map(row));
    more(page);
  } catch (error) {
    toast(explain(error));
  }
});

// --- Trying a question -------------------------------------------------------------------------

$("try").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question) return;
  try {
    const { results, took_ms: tookMs } = await call("GET", path(`/search?q=${encodeURIComponent(question)}`));
    const passages = results.length === 1 ? "1 passage" : `${results.length} passages`;
    say(results.length ? `${passages} in ${Math.round(tookMs)} ms, the likeliest first.` : "No passage fits this question.");
    $("found").replaceChildren(...results.map(passage));
  } catch (error) {
    say(explain(error));
    $("found").replaceChildren();
  }
});

function say(word) {
  $("answer-word").textContent = word;
  $("answer-word").hidden = false;
}

function passage(one) {
  const source = one.page ? `${one.name}, page ${one.page}` : one.name;
  return el(
    "li",
    {},
    el("p", { class: "source", dir: "auto" }, source),
    one.heading && el("p", { class: "heading", dir: "auto" }, one.heading),
    el("p", { class: "text", dir: "auto" }, one.text),
  );
}

load();
