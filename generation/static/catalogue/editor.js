// The mouth frame over the portrait: dragged, moved by keys, or typed. The number fields are the
// truth (they are what the form sends); the canvas only shows and changes them.

const data = JSON.parse(document.getElementById("avatar-data").textContent);
const canvas = document.getElementById("avatar-canvas");
const image = document.getElementById("avatar-portrait");
const SIDES = ["left", "top", "right", "bottom"];
const SMALLEST = 0.01;
const GRIP = 10; // pixels around a corner that take hold of it

const field = (side) => document.querySelector(`[data-mouth-box] [data-side="${side}"]`);
const bound = (value) => Math.min(1, Math.max(0, value));

function read() {
  const values = SIDES.map((side) => parseFloat(field(side)?.value));
  if (values.some((value) => !Number.isFinite(value))) return null;
  const [left, top, right, bottom] = values.map((value) => value / 100);
  return { left, top, right, bottom };
}

function write(box) {
  for (const side of SIDES) field(side).value = box ? (box[side] * 100).toFixed(2) : "";
  field("left").dispatchEvent(new Event("input", { bubbles: true }));
  draw();
}

const shown = () => read() ?? data.found;

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  if (document.getElementById("show-landmarks").checked) {
    pen.fillStyle = "rgb(94 234 212 / 85%)";
    for (const [x, y] of data.landmarks) {
      pen.beginPath();
      pen.arc(x * width, y * height, 1.1, 0, 7);
      pen.fill();
    }
  }
  const box = shown();
  if (box) frame(pen, box, width, height, read() !== null);
}

function frame(pen, box, width, height, corrected) {
  const [x, y] = [box.left * width, box.top * height];
  const [w, h] = [(box.right - box.left) * width, (box.bottom - box.top) * height];
  pen.lineWidth = 3.5;
  pen.strokeStyle = "rgb(0 0 0 / 55%)";
  pen.strokeRect(x, y, w, h);
  pen.lineWidth = 1.75;
  pen.setLineDash(corrected ? [] : [5, 4]);
  pen.strokeStyle = corrected ? "#ffd24a" : "#ffffff";
  pen.strokeRect(x, y, w, h);
  pen.setLineDash([]);
  pen.fillStyle = pen.strokeStyle;
  for (const [cx, cy] of [[x, y], [x + w, y], [x, y + h], [x + w, y + h]]) pen.fillRect(cx - 3.5, cy - 3.5, 7, 7);
}

function place(event) {
  const area = canvas.getBoundingClientRect();
  return { x: bound((event.clientX - area.left) / area.width), y: bound((event.clientY - area.top) / area.height), area };
}

/** What a press takes hold of: sides of a corner, the whole frame, or a new frame. */
function hold({ x, y, area }) {
  const box = shown();
  const near = (one, other, size) => Math.abs(one - other) * size < GRIP;
  if (!box) return { kind: "new" };
  const sides = [
    ["left", "right"].find((side) => near(x, box[side], area.width)),
    ["top", "bottom"].find((side) => near(y, box[side], area.height)),
  ];
  if (sides[0] && sides[1]) return { kind: "corner", sides, box };
  if (x > box.left && x < box.right && y > box.top && y < box.bottom) return { kind: "move", box };
  return { kind: "new" };
}

function ordered(one, other) {
  const [left, right] = [Math.min(one.x, other.x), Math.max(one.x, other.x)];
  const [top, bottom] = [Math.min(one.y, other.y), Math.max(one.y, other.y)];
  return { left, top, right: Math.max(right, left + SMALLEST), bottom: Math.max(bottom, top + SMALLEST) };
}

function moved(box, dx, dy) {
  dx = Math.min(1 - box.right, Math.max(-box.left, dx));
  dy = Math.min(1 - box.bottom, Math.max(-box.top, dy));
  return { left: box.left + dx, right: box.right + dx, top: box.top + dy, bottom: box.bottom + dy };
}

function pressed(event) {
  const start = place(event);
  const grip = hold(start);
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
  canvas.focus();
  const onMove = (moving) => {
    const at = place(moving);
    if (grip.kind === "new") write(ordered(start, at));
    if (grip.kind === "move") write(moved(grip.box, at.x - start.x, at.y - start.y));
    if (grip.kind === "corner") {
      const [across, down] = grip.sides;
      const fixed = {
        x: grip.box[across === "left" ? "right" : "left"],
        y: grip.box[down === "top" ? "bottom" : "top"],
      };
      write(ordered(fixed, at));
    }
  };
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerup", () => canvas.removeEventListener("pointermove", onMove), { once: true });
}

function key(event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const box = shown() ?? { left: 0.42, right: 0.58, top: 0.62, bottom: 0.7 };
  if (!step) return;
  event.preventDefault();
  const [dx, dy] = step.map((value) => value * 0.005);
  if (event.shiftKey) write({ ...box, right: bound(Math.max(box.right + dx, box.left + SMALLEST)), bottom: bound(Math.max(box.bottom + dy, box.top + SMALLEST)) });
  else write(moved(box, dx, dy));
}

const states = (avatar) => avatar.preparations.map((made) => `${made.model} ${made.status}`).join();

async function watch() {
  const response = await fetch(`/api/v1/avatars/${data.id}`, { credentials: "same-origin" }).catch(() => null);
  const avatar = response?.ok ? await response.json() : null;
  // Also when one of its models changes state: each has a line of its own.
  if (avatar && states(avatar) !== data.states) {
    location.reload();
    return;
  }
  if (avatar?.status === "preparing") document.getElementById("avatar-progress").textContent = avatar.progress;
  setTimeout(watch, 1500);
}

if (canvas) {
  canvas.addEventListener("pointerdown", pressed);
  canvas.addEventListener("keydown", key);
  image.addEventListener("load", draw);
  window.addEventListener("load", draw);
  new ResizeObserver(draw).observe(image);
  document.getElementById("show-landmarks").addEventListener("change", draw);
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-mouth-box] input") && event.isTrusted) draw();
  });
  document.querySelector("[data-mouth-found]")?.addEventListener("click", () => write(data.found ?? null));
  document.querySelector("[data-mouth-clear]")?.addEventListener("click", () => write(null));
}
if (data.waiting) setTimeout(watch, 1500);
