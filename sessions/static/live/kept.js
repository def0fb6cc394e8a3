// What somebody chose, for their next conversation in this browser.

export function kept(name) {
  try {
    return localStorage.getItem(`live.${name}`) ?? "";
  } catch {
    return ""; // storage is switched off
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(`live.${name}`, value);
  } catch {
    // kept for this page only
  }
}
