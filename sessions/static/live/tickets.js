// The client token of a call: out of the address bar, into this tab's own storage, and nowhere else.

const key = (id) => `parley.live.${id}`;
const memory = new Map(); // where storage is switched off: until the page is left

export function remember(id, ticket) {
  memory.set(id, ticket);
  try {
    sessionStorage.setItem(key(id), JSON.stringify(ticket));
  } catch {
    // kept for this page only
  }
}

export function recall(id) {
  try {
    return JSON.parse(sessionStorage.getItem(key(id))) ?? memory.get(id) ?? null;
  } catch {
    return memory.get(id) ?? null;
  }
}

export function forget(id) {
  memory.delete(id);
  try {
    sessionStorage.removeItem(key(id));
  } catch {
    // there was nothing to forget
  }
}

/** Take the token out of the fragment, so that neither history nor a shared screen shows it. */
export function takeTicket(id) {
  const token = location.hash.slice(1).replace(/^token=/, "");
  if (!token) return recall(id);
  history.replaceState(history.state, "", location.pathname + location.search);
  const known = recall(id);
  const ticket = known?.token === token ? known : { token };
  remember(id, ticket);
  return ticket;
}
