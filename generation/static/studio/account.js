// The account page: allowance, API keys and webhook endpoints.

import { call, explain } from "./api.js";
import { $, confirmed, el, toast, when } from "./dom.js";

const DAY_MS = 24 * 3600 * 1000;

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
$("secret-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("secret-text").textContent);
    toast("Copied.");
  } catch {
    getSelection().selectAllChildren($("secret-text"));
    toast("Press Ctrl+C to copy what is marked.");
  }
});

function reveal(title, secret) {
  $("secret-title").textContent = title;
  $("secret-text").textContent = secret;
  $("secret-dialog").showModal();
  $("secret-dialog").addEventListener("close", () => ($("secret-text").textContent = ""), { once: true });
}

// --- Allowance --------------------------------------------------------------------------------

async function usage() {
  const { allowance, usage: used } = await call("GET", "me");
  const meter = (label, now, limit, words) => {
    const bar = el("progress", { class: "meter", max: Math.max(1, limit), value: Math.min(now, limit) });
    bar.setAttribute("aria-label", label);
    return el("div", {}, el("dt", {}, label), el("dd", {}, words), bar);
  };
  const fact = (label, value) => el("div", {}, el("dt", {}, label), el("dd", {}, value));
  const minutes = (seconds) => (seconds >= 60 ? `${Math.round(seconds / 60)} min` : `${seconds} s`);
  $("usage").replaceChildren(
    meter("Video today", used.video_seconds, allowance.video_seconds_a_day, `${minutes(used.video_seconds)} of ${minutes(allowance.video_seconds_a_day)}`),
    meter("Live minutes today", used.session_seconds, allowance.session_minutes_a_day * 60, `${Math.round(used.session_seconds / 60)} of ${allowance.session_minutes_a_day} min`),
    fact("Clips at once", String(allowance.clips_in_flight)),
    fact("Requests a minute", String(allowance.requests_a_minute)),
  );
  $("usage").removeAttribute("aria-busy");
}

// --- API keys ---------------------------------------------------------------------------------

function keyState(key) {
  if (key.revoked_at) return ["Revoked", "bad"];
  if (key.expires_at && new Date(key.expires_at) <= Date.now()) return ["Expired", "warn"];
  if (key.expires_at) return [`Until ${new Date(key.expires_at).toLocaleDateString()}`, "good"];
  return ["Active", "good"];
}

async function keys() {
  const { results } = await call("GET", "api-keys?limit=100");
  $("keys").replaceChildren(...results.map((key) => keyRow(key)));
  $("keys-empty").hidden = results.length > 0;
}

function keyRow(key) {
  const [word, tone] = keyState(key);
  const usable = !key.revoked_at && word !== "Expired";
  const actions = el("div", { class: "actions" });
  if (usable) {
    actions.append(
      button("Rotate", key.name, () => rotate(key)),
      button("Revoke", key.name, () => revoke(key), "danger"),
    );
  }
  return el(
    "tr",
    { role: "row" },
    el("td", { role: "cell" }, key.name),
    el("td", { role: "cell" }, el("code", {}, `${key.prefix}…`)),
    el("td", { role: "cell" }, el("span", { class: "faint" }, key.last_used_at ? when(key.last_used_at) : "Never")),
    el("td", { role: "cell" }, el("span", { class: `tag ${tone}` }, word)),
    el("td", { role: "cell" }, actions),
  );
}

async function rotate(key) {
  const agreed = await confirmed({
    title: `Replace “${key.name}”?`,
    text: "You get a new key. The old one works for another 24 hours.",
    yes: "Replace",
  });
  if (!agreed) return;
  await attempt(async () => {
    const fresh = await call("POST", `api-keys/${key.id}/rotate`, { json: {} });
    await keys();
    reveal("The new key", fresh.key);
  });
}

async function revoke(key) {
  const agreed = await confirmed({
    title: `Revoke “${key.name}”?`,
    text: "Programs that use it are refused from now on.",
    yes: "Revoke",
  });
  if (!agreed) return;
  await attempt(async () => {
    await call("DELETE", `api-keys/${key.id}`);
    await keys();
    $("key-new").focus();
  });
}

$("key-new").addEventListener("click", () => {
  $("key-form").reset();
  $("key-error").hidden = true;
  $("key-dialog").showModal();
});
$("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const scopes = [...$("key-form").querySelectorAll('[name="scope"]:checked')].map((input) => input.value);
  const days = Number($("key-expiry").value);
  const wish = { name: $("key-name").value.trim(), scopes };
  if (days) wish.expires_at = new Date(Date.now() + days * DAY_MS).toISOString();
  await submit("key", async () => {
    const fresh = await call("POST", "api-keys", { json: wish });
    $("key-dialog").close();
    await keys();
    reveal("Your new key", fresh.key);
  });
});

// --- Webhooks ---------------------------------------------------------------------------------

const REASONS = { gone: "Switched off: it answered 410", failing: "Switched off: it kept failing", by_owner: "Off" };

async function hooks() {
  const { results } = await call("GET", "webhook-endpoints?limit=100");
  $("hooks").replaceChildren(...results.map((hook) => hookRow(hook)));
  $("hooks-empty").hidden = results.length > 0;
}

function hookRow(hook) {
  const state = hook.enabled ? ["On", "good"] : [REASONS[hook.disabled_reason] ?? "Off", "warn"];
  const actions = el(
    "div",
    { class: "actions" },
    button("Test", hook.url, () =>
      attempt(async () => {
        await call("POST", `webhook-endpoints/${hook.id}/test`, { json: {} });
        toast("A test message is on its way.");
      }),
    ),
    button(hook.enabled ? "Switch off" : "Switch on", hook.url, () =>
      attempt(async () => {
        await call("PATCH", `webhook-endpoints/${hook.id}`, { json: { enabled: !hook.enabled } });
        await hooks();
      }),
    ),
    button("Delete", hook.url, () => removeHook(hook), "danger"),
  );
  return el(
    "tr",
    { role: "row" },
    el("td", { class: "address", role: "cell" }, hook.url),
    el("td", { role: "cell" }, el("span", { class: "faint" }, hook.last_success_at ? when(hook.last_success_at) : "Never")),
    el("td", { role: "cell" }, el("span", { class: `tag ${state[1]}` }, state[0])),
    el("td", { role: "cell" }, actions),
  );
}

async function removeHook(hook) {
  if (!(await confirmed({ title: "Delete this endpoint?", text: hook.url }))) return;
  await attempt(async () => {
    await call("DELETE", `webhook-endpoints/${hook.id}`);
    await hooks();
    $("hook-new").focus();
  });
}

$("hook-new").addEventListener("click", () => {
  $("hook-form").reset();
  $("hook-error").hidden = true;
  $("hook-dialog").showModal();
});
$("hook-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await submit("hook", async () => {
    const fresh = await call("POST", "webhook-endpoints", { json: { url: $("hook-url").value.trim() } });
    $("hook-dialog").close();
    await hooks();
    reveal("The secret that signs its messages", fresh.secret);
  });
});

// --- Shared -----------------------------------------------------------------------------------

function button(label, about, action, style = "") {
  const node = el("button", { class: `button quiet small ${style}`, type: "button", onclick: action }, label);
  node.setAttribute("aria-label", `${label}: ${about}`);
  return node;
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    toast(explain(error));
  }
}

async function submit(name, action) {
  const error = $(`${name}-error`);
  error.hidden = true;
  try {
    await action();
  } catch (problem) {
    error.textContent = problem.errors?.map((one) => one.detail).join(" ") || explain(problem);
    error.hidden = false;
  }
}

attempt(usage);
attempt(keys);
attempt(hooks);
