// The page: what arrives is drawn and acknowledged, what is pressed is done or asked for.

import { LineChart, showStages } from "./charts.js";
import { Connection } from "./connection.js";
import { Picture } from "./picture.js";
import { Scene } from "./scene.js";

const byId = (id) => document.getElementById(id);
const TOGGLES = [
  ["keypoints", "2D", "2"], ["scene", "3D", "3"], ["hypotheses", "Hypotheses", "y"], ["futures", "Futures", "p"],
  ["uncertainty", "Uncertainty", "u"], ["mirror", "Mirror", "m"], ["timing", "Timing", "t"],
];
const BANNERS = {
  connecting: ["Connecting …", ""],
  stalled: ["Camera stalled", "It is open, but gives no pictures. What you see is the last one."],
  lost: ["Camera lost", "It is being reconnected. What you see is the last picture."],
  disconnected: ["No connection to pose-rt", "The run may have ended. This page reconnects by itself."],
  ended: ["The run has ended", "Start it again and this page reconnects by itself."],
  refused: ["No room, or not allowed", ""],
};
const WORDS = { open: "live", connecting: "connecting", stalled: "stalled", lost: "camera lost", disconnected: "no connection", ended: "ended", refused: "refused" };

const main = document.querySelector("main");
const toggles = { keypoints: true, scene: true, hypotheses: true, futures: true, uncertainty: true, mirror: false, timing: true };
const picture = new Picture(byId("picture"), byId("picture-panel"));
let scene = null;
try {
  scene = new Scene(byId("scene"), byId("scene-panel"));
} catch {
  byId("no-scene").textContent = "This browser has no WebGL: the 3D view cannot be drawn.";
  byId("no-scene").hidden = false;
}
const latency = new LineChart(byId("latency"), byId("latency-legend"), [
  { key: "wait", label: "look-ahead", colour: "#f0e442", dash: [5, 4] },
  { key: "p99", label: "p99", colour: "#ff7a3d" },
  { key: "p95", label: "p95", colour: "#e69f00" },
  { key: "p50", label: "p50", colour: "#56b4e9", width: 2.25, area: true },
  { key: "sent", label: "sent p50", colour: "#cc79a7" },
  { key: "seen", label: "on screen p50", colour: "#2cc295" },
]);
const rate = new LineChart(byId("rate"), byId("rate-legend"), [
  { key: "fps", label: "fps", colour: "#56b4e9", width: 2.25, area: true, digits: 1 },
  { key: "lost", label: "dropped in all", colour: "#ff7a3d", bars: true, total: "dropped" },
]);

let look = null;
let state = "connecting";
let paused = false;
let waiting = null; // { head, bitmap }: decoded, not yet drawn
let last = null; // head of the picture that is shown
let before = null; // the last report

const connection = new Connection({ hello, stats, frame, state: setState });

function hello(message) {
  look = message;
  picture.look = message;
  document.title = `${message.title} · pose-rt`;
  byId("title").textContent = message.title;
  byId("record").hidden = !message.record;
  byId("stop").hidden = !message.stop;
  byId("stop").disabled = false;
  document.documentElement.style.setProperty("--left", message.sides[0]);
  document.documentElement.style.setProperty("--right", message.sides[1]);
  for (const [name, on] of Object.entries(message.show)) if (stored[name] === undefined) toggles[name] = on;
  scene?.setUp(message);
  showToggles();
  before = null;
  setState("open", "");
}

async function frame(head, jpeg) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(jpeg);
  } catch {
    connection.send({ type: "ack", seq: head.seq });
    return;
  }
  if (waiting) {
    waiting.bitmap.close();
    connection.send({ type: "ack", seq: waiting.head.seq });
  } else {
    requestAnimationFrame(present); // does not come while the page is hidden: then nothing is acknowledged, and nothing is sent
  }
  waiting = { head, bitmap };
}

function present() {
  const { head, bitmap } = waiting;
  waiting = null;
  if (paused) {
    bitmap.close();
  } else {
    last = head;
    picture.show(head, bitmap, toggles);
    if (toggles.scene) scene?.show(head, toggles);
    byId("nobody").hidden = head.people.length > 0 || head.skeleton === null;
    document.body.dataset.frame = head.frame;
    if (scene) byId("no-scene").hidden = head.lifted;
    if (scene && !head.lifted) byId("no-scene").textContent = "no 3D in this run";
  }
  connection.send({ type: "ack", seq: head.seq });
}

function stats(report) {
  setState(report.state, "");
  const ms = (value) => (value === undefined ? "–" : `${Math.round(value)}<small> ms</small>`);
  byId("fps").textContent = report.state === "open" ? report.fps.toFixed(1) : "–";
  byId("age").innerHTML = ms(report.age.p50);
  byId("screen").innerHTML = ms(report.seen.p50);
  byId("dropped").textContent = report.dropped;
  byId("record").setAttribute("aria-pressed", String(report.recording === true));
  byId("record").querySelector("span").textContent = report.recording ? "Recording" : "Record";
  const live = report.state === "open";
  const lost = before ? report.dropped - before.dropped : 0;
  latency.add({
    p50: live ? report.age.p50 : null, p95: live ? report.age.p95 : null, p99: live ? report.age.p99 : null, wait: live ? report.wait : null,
    sent: live ? report.sent.p50 : null, seen: live ? report.seen.p50 : null,
  });
  rate.add({ fps: live ? report.fps : 0, lost: 4 * lost, dropped: report.dropped });
  showStages(byId("stages"), report.stages);
  byId("stages-note").textContent = `${report.clients} of ${report.max_clients} pages`;
  before = report;
}

function setState(name, detail) {
  state = name;
  const pill = byId("state");
  if (pill.dataset.state !== name) {
    pill.dataset.state = name;
    pill.textContent = WORDS[name] ?? name;
  }
  main.classList.toggle("stale", name !== "open" && name !== "connecting");
  const banner = byId("banner");
  banner.hidden = name === "open";
  if (!banner.hidden) {
    const [title, text] = BANNERS[name] ?? [name, ""];
    banner.dataset.state = name;
    banner.querySelector("strong").textContent = title;
    banner.querySelector("span").textContent = detail || text;
  }
}

const stored = load();
Object.assign(toggles, stored);
const buttons = new Map(TOGGLES.map(([name, label, key]) => {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.toggle = name;
  button.innerHTML = `${label} <kbd>${key}</kbd>`;
  button.addEventListener("click", () => flip(name));
  byId("toggles").append(button);
  return [name, button];
}));
showToggles();
setState("connecting", "");

function flip(name) {
  toggles[name] = !toggles[name];
  stored[name] = toggles[name];
  save(stored);
  showToggles();
}

function showToggles() {
  for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(toggles[name]));
  main.classList.toggle("flat", !toggles.scene || scene === null);
  byId("charts").hidden = !toggles.timing;
  for (const name of ["hypotheses", "futures", "uncertainty"]) byId("legend").querySelector(`.${name}`).hidden = !toggles[name];
  picture.draw();
  if (last && toggles.scene) scene?.show(last, toggles);
}

function load() {
  try {
    const found = JSON.parse(localStorage.getItem("pose-rt") ?? "{}");
    return Object.fromEntries(Object.entries(found).filter(([name, on]) => name in toggles && typeof on === "boolean"));
  } catch {
    return {};
  }
}

function save(values) {
  try {
    localStorage.setItem("pose-rt", JSON.stringify(values));
  } catch {
    // private windows may refuse: the choice lasts as long as the page
  }
}

function pause() {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  byId("paused").hidden = !paused;
}

// What is shown, as a PNG: the picture, and the 3D view beside it.
function snapshot() {
  if (!last) return;
  const [left, right] = [byId("picture"), byId("scene")];
  const beside = toggles.scene && scene !== null;
  const share = beside ? Math.round((right.width * left.height) / right.height) : 0;
  const sheet = document.createElement("canvas");
  sheet.width = left.width + share;
  sheet.height = left.height;
  const c = sheet.getContext("2d");
  c.drawImage(left, 0, 0);
  if (beside) {
    scene.draw(); // WebGL keeps its picture until the end of the task only
    c.drawImage(right, left.width, 0, share, left.height);
  }
  sheet.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `pose-rt-${String(last.frame).padStart(6, "0")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
}

function record() {
  connection.send({ type: "record", on: byId("record").getAttribute("aria-pressed") !== "true" });
}

// The run belongs to everyone who looks: ask once more.
let sure = 0;
function stop() {
  const button = byId("stop");
  clearTimeout(sure);
  if (button.classList.contains("sure")) {
    connection.send({ type: "stop" });
    button.disabled = true;
  }
  button.classList.toggle("sure");
  button.textContent = button.classList.contains("sure") ? "Stop the run?" : "Stop";
  sure = setTimeout(() => {
    button.classList.remove("sure");
    button.textContent = "Stop";
  }, 3000);
}

byId("pause").addEventListener("click", pause);
byId("snapshot").addEventListener("click", snapshot);
byId("record").addEventListener("click", record);
byId("stop").addEventListener("click", stop);
byId("reset-view").addEventListener("click", () => scene?.resetView());

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const toggle = TOGGLES.find(([, , key]) => key === event.key);
  if (toggle) flip(toggle[0]);
  else if (event.key === " " && event.target.tagName !== "BUTTON") pause();
  else if (event.key === "s") snapshot();
  else if (event.key === "r" && look?.record) record();
  else return;
  event.preventDefault();
});
