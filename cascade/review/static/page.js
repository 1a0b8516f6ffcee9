"use strict";
/* The page: the list, one scan, and what is said about it. Everything is asked of the server that the page came from. */

const find = (id) => document.getElementById(id);
const show = (element, on) => { element.hidden = !on; };
const RETRY_MS = 400;
const POLL_MS = 1000;
const words = { byValue: new Map(), byName: new Map(), list: [], bodies: [] };
const view = { list: null, id: null, scan: null, tool: "look", first: null, point: null, preview: null, busy: 0, opening: 0, recent: "" };
let viewer = null;

/* ---- asking */

class Refused extends Error {
  constructor(answer) {
    super(answer.text);
    this.kind = answer.kind;
  }
}

async function ask(path, said) {
  const options = said === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(said) };
  let response;
  try {
    response = await fetch(`api/${path}`, options);
  } catch {
    throw new Refused({ kind: "gone", text: "The server does not answer. Start cascade-review again; nothing that you did is lost." });
  }
  if (response.status === 204) return null;
  const answer = await response.json();
  if (response.status !== 200) throw new Refused(answer);
  return answer;
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/* Ask until the networks have read the scan; false if another scan was opened meanwhile. */
async function askUntilThere(path, said, waiting) {
  const id = view.id;
  for (;;) {
    try {
      return await ask(path, said);
    } catch (problem) {
      if (problem.kind !== "wait") throw problem;
      waiting();
    }
    await pause(RETRY_MS);
    if (view.id !== id) return null;
  }
}

function element(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...content.filter((one) => one !== null && one !== ""));
  return made;
}

function tell(text, kind = "problem") {
  const said = find("said");
  said.textContent = text;
  said.dataset.kind = kind;
  show(said, text !== "");
}

const percent = (share) => (share === null || share === undefined ? "n/a" : `${Math.floor(share * 100)} %`);
const colour = (name) => { const known = words.byName.get(name); return known ? `rgb(${known.colour.join(",")})` : "gray"; };

/* ---- the list */

function rowOf(id) { return view.list ? view.list.scans.find((row) => row.id === id) : undefined; }

function wanted(row) {
  const choice = find("filter").value;
  const text = find("search").value.trim().toLowerCase();
  const fits = choice === "all" || row.state === choice || (choice === "warned" && row.warnings.length > 0) || (choice === "alarmed" && row.alarms > 0);
  return fits && (text === "" || row.title.toLowerCase().includes(text) || row.warnings.some((code) => code.includes(text)));
}

const PHASES = { waiting: "waiting", failed: "not segmented" };

function drawList() {
  const rows = view.list.scans.filter(wanted);
  const list = find("scans");
  const known = new Map([...list.children].map((item) => [item.dataset.id, item]));
  const wantedOrder = rows.map((row) => {
    const item = known.get(row.id) || card(row.id);
    fill(item, row);
    return item;
  });
  if (wantedOrder.length !== list.children.length || wantedOrder.some((item, at) => list.children[at] !== item)) list.replaceChildren(...wantedOrder);
  const count = (state) => view.list.scans.filter((row) => row.state === state).length;
  find("counts").textContent = `${view.list.scans.length} ${view.list.scans.length === 1 ? "scan" : "scans"} · ${count("new")} new · ${count("accepted")} accepted · `
    + `${count("corrected")} corrected · ${count("rejected")} rejected`;
  drawQueue();
}

function card(id) {
  const button = element("button", { type: "button", onclick: () => open(id) },
    element("img", { alt: "", width: 54, height: 78 }),
    element("span", { class: "facts" }, element("b", {}), element("span", { class: "badge" }), element("span", { class: "sure" }), element("span", { class: "codes" })),
    element("progress", { max: 1, "aria-label": "How far the networks are" }));
  const item = element("li", {}, button);
  item.dataset.id = id;
  return item;
}

function fill(item, row) {
  const [image, badge, sure, codes, bar] = ["img", ".badge", ".sure", ".codes", "progress"].map((part) => item.querySelector(part));
  const source = row.thumbnail === null ? "" : `api/scans/${row.id}/thumbnail.jpg?v=${row.thumbnail}`;
  if (source && image.getAttribute("src") !== source) image.setAttribute("src", source);
  image.classList.toggle("none", !source);
  item.querySelector("b").textContent = row.title;
  item.querySelector("button").title = row.title;
  badge.textContent = row.state + (row.steps && row.state === "new" ? ", changed" : "");
  badge.dataset.state = row.state;
  sure.textContent = row.working ? "reading ..." : PHASES[row.phase] || (row.confidence === null ? "" : `names ${percent(row.confidence)}`);
  sure.classList.toggle("bad", row.phase === "failed");
  sure.title = row.why;
  codes.textContent = [[row.alarms, "alarm"], [row.warnings.length - row.alarms, "warning"]]
    .filter(([number]) => number > 0).map(([number, rank]) => `${number} ${rank}${number > 1 ? "s" : ""}`).join(", ");
  codes.classList.toggle("alarm", row.alarms > 0);
  codes.title = row.warnings.join(", ");
  show(bar, row.working);
  bar.value = row.fraction;
  item.classList.toggle("on", row.id === view.id);
  item.querySelector("button").setAttribute("aria-current", String(row.id === view.id));
}

function drawQueue() {
  const { left, seconds, scans } = view.list;
  show(find("queue"), left > 0);
  find("queue-bar").value = scans.length ? (scans.length - left) / scans.length : 1;
  const minutes = Math.ceil((left * seconds) / 60);
  find("queue-text").textContent = `${scans.length - left} of ${scans.length} segmented, about ${minutes} min left`;
}

function neighbour(by) {
  const shown = view.list.scans.filter(wanted);
  const at = shown.findIndex((row) => row.id === view.id);
  return shown[at + by];
}

function nextNew() {
  const shown = view.list.scans.filter(wanted);
  const at = shown.findIndex((row) => row.id === view.id);
  return [...shown.slice(at + 1), ...shown.slice(0, Math.max(at, 0))].find((row) => row.state === "new" && row.phase !== "failed");
}

async function poll() {
  try {
    const list = await ask(`scans?version=${view.list ? view.list.version : ""}`);
    if (find("said").dataset.kind === "gone") tell("");
    if (list) {
      view.list = list;
      drawList();
      noticeOthers();
      drawState();
    }
  } catch (problem) {
    tell(problem.message, problem.kind);
  }
}

async function keepPolling() {
  for (;;) {
    await pause(document.hidden ? 4 * POLL_MS : POLL_MS);
    await poll();
  }
}

/* Another window or person has changed the scan that is open. */
function noticeOthers() {
  const row = rowOf(view.id);
  if (!row || !view.scan || view.busy || view.preview || row.revision <= view.scan.revision) return;
  refresh("This scan was changed in another window or by another person; here is how it is now.");
}

/* ---- one scan */

function cover(text, share = null) {
  show(find("cover"), text !== "");
  find("cover-text").textContent = text;
  show(find("cover-bar"), share !== null);
  if (share !== null) find("cover-bar").value = share;
}

function waitingText() {
  const row = rowOf(view.id);
  const far = row && row.working ? row.fraction : 0;
  cover(row && row.working ? "The networks are reading this scan ..." : "This scan waits for the networks ...", far);
}

async function open(id) {
  if (id === view.id && view.scan) return;
  const turn = ++view.opening;
  leavePreview();
  Object.assign(view, { id, scan: null, point: null, first: null });
  setTool("look");
  history.replaceState(null, "", `#${id}`);
  tell("");
  viewer.close();
  drawSide();
  drawList();
  cover("Opening ...");
  document.querySelector("#scans .on")?.scrollIntoView({ block: "nearest" });
  try {
    await ask(`scans/${id}/look`, {});
    const scan = await askUntilThere(`scans/${id}`, undefined, waitingText);
    if (!scan || turn !== view.opening) return;
    cover("Opening ...");
    await viewer.open(`api/scans/${id}/scan.nii?r=${turn}`, `api/scans/${id}/labels.nii?r=${turn}`, middle(scan));
    if (turn !== view.opening) return;
    view.scan = scan;
    drawSide();
    cover("");
    document.body.dataset.open = id;
    await drawMeasures();
  } catch (problem) {
    if (turn === view.opening) cover(problem.message);
  }
}

function middle(scan) {
  const bodies = scan.structures.filter((one) => one.kind === "body");
  return bodies.length ? bodies[Math.floor(bodies.length / 2)].centroid_mm : null;
}

async function relabel(query = "") {
  const response = await fetch(`api/scans/${view.id}/labels.bin?${query}`);
  if (response.status !== 200) throw new Refused(await response.json());
  const box = response.headers.get("x-box").split(",").map(Number);
  viewer.relabel(box, new Uint8Array(await response.arrayBuffer()));
}

async function refresh(text) {
  try {
    const scan = await ask(`scans/${view.id}`);
    await shownNow(scan);
    tell(text, "note");
  } catch (problem) {
    tell(problem.message, problem.kind);
  }
}

async function shownNow(scan) {
  view.scan = scan;
  await relabel();
  drawSide();
  pointed(viewer.point());
  document.body.dataset.revision = scan.revision;
  drawMeasures();
}

/* ---- what is said */

/* Say something; the scan as it is then, or null if it could not be. */
async function change(path, said) {
  if (!view.scan || view.busy) return null;
  view.busy++;
  tell("");
  const started = performance.now();
  try {
    const answer = await askUntilThere(`scans/${view.id}/${path}`, { ...said, revision: view.scan.revision }, waitingText);
    if (answer) await shownNow(answer);
    cover("");
    document.body.dataset.took = Math.round(performance.now() - started);
    return answer;
  } catch (problem) {
    cover("");
    if (problem.kind === "conflict") await refresh(problem.message);
    else tell(problem.message, problem.kind);
    return null;
  } finally {
    view.busy--;
    drawState();
  }
}

const nameIt = (structure) => view.point && change("say", { verb: "name", structure, points_mm: [view.point.mm] });
const undo = () => change("move", { by: -1 });
const redo = () => change("move", { by: 1 });

async function decide(state) {
  if (!view.scan || view.busy) return;
  view.busy++;
  try {
    const said = await ask(`scans/${view.id}/decide`, { state, note: find("note").value, revision: view.scan.revision });
    Object.assign(view.scan, said, { note: find("note").value });
    drawState();
    await poll();
    const next = state === "new" ? null : nextNew();
    if (next) { view.busy--; try { await open(next.id); } finally { view.busy++; } }
    else if (state !== "new") tell("That was the last new scan of this list.", "note");
  } catch (problem) {
    if (problem.kind === "conflict") await refresh(problem.message);
    else tell(problem.message, problem.kind);
  } finally {
    view.busy--;
  }
}

async function number() {
  const said = { verb: "number", lowest: find("lowest").value, highest: find("highest").value, count: find("count").value };
  if (!(await change("say", said))) drawNumbering();
}

async function preview(said) {
  if (!view.scan || view.busy) return;
  leavePreview();
  view.busy++;
  tell("");
  try {
    const answer = await askUntilThere(`scans/${view.id}/preview`, said, waitingText);
    cover("");
    if (!answer) return;
    view.preview = said;
    find("preview-text").textContent = answer.changes.length ? answer.changes.slice(0, 4).join(", ") : "nothing would change";
    show(find("preview"), true);
    await relabel("preview=1");
    find("keep").focus();
  } catch (problem) {
    cover("");
    tell(problem.message, problem.kind);
  } finally {
    view.busy--;
  }
}

async function keep() {
  const said = view.preview;
  view.preview = null;
  show(find("preview"), false);
  find("canvas").focus();
  if (said && !(await change("say", said))) await relabel();
}

async function leavePreview(back = false) {
  if (!view.preview) return;
  view.preview = null;
  show(find("preview"), false);
  find("canvas").focus();
  if (back) await relabel();
}

/* ---- tools */

const HINTS = {
  add: "Click where it belongs to the structure chosen above.",
  take: "Click on what does not belong to a structure; in the middle of one, all of it goes.",
  split: "Click where the two bodies meet.",
  join: "Click the first piece.",
};

function setTool(tool) {
  view.tool = tool;
  view.first = null;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-checked", String(button.dataset.tool === tool));
  find("tool-hint").textContent = HINTS[tool] || "";
  show(find("tool-hint"), tool !== "look");
  find("picture").dataset.tool = tool;
}

function act(point) {
  if (!point || !view.scan || view.preview) return;
  if (view.tool === "add") preview({ verb: "add", structure: find("add-to").value, points_mm: [point.mm] });
  if (view.tool === "take") preview({ verb: "take", points_mm: [point.mm] });
  if (view.tool === "split") preview({ verb: "split", points_mm: [point.mm] });
  if (view.tool === "join" && !view.first) {
    view.first = point.mm;
    find("tool-hint").textContent = "Click the second piece.";
  } else if (view.tool === "join") {
    preview({ verb: "join", points_mm: [view.first, point.mm] });
    setTool("join");
  }
}

const remove = () => here() && preview({ verb: "delete", points_mm: [view.point.mm] });

/* ---- the side */

function here() {
  const known = view.point && words.byValue.get(view.point.value);
  return known && view.scan ? view.scan.structures.find((one) => one.value === known.value) || null : null;
}

function pointed(point) {
  view.point = point;
  drawHere();
  lightRow();
}

function drawHere() {
  const known = here();
  show(find("here-more"), Boolean(known));
  find("here-name").textContent = known ? known.text : view.scan && view.point ? "No structure here" : "Click on a structure";
  find("here-what").textContent = known
    ? `${known.what} · ${known.volume_ml.toFixed(1)} ml · confidence ${percent(known.confidence)}${known.touches_border ? " · cut by the border" : ""}`
    : view.scan ? "Where one is missing, choose “Add to” above and click." : "Its name, and what can be done about it, show here.";
  if (!known) return;
  if (["body", "disc"].includes(known.kind)) find("add-to").value = known.name;
  const kinds = known.kind === "disc" ? ["disc"] : ["body", "sacrum"];
  const kept = words.list.filter((one) => kinds.includes(one.kind) && (one.usual || one.name === known.name));
  find("chips").replaceChildren(...kept.map((one) => element("button", {
    type: "button", "data-name": one.name, "aria-pressed": String(one.name === known.name), onclick: () => nameIt(one.name),
  }, one.text)));
}

function drawState() {
  const scan = view.scan;
  const row = rowOf(view.id);
  const decided = scan && scan.state !== "new";
  for (const id of ["accept", "reject"]) { show(find(id), !decided); find(id).disabled = !scan; }
  show(find("reopen"), Boolean(decided));
  find("undo").disabled = !scan || !scan.said.undo;
  find("redo").disabled = !scan || !scan.said.redo;
  if (!scan) { find("state").textContent = ""; return; }
  find("undo").title = scan.said.undo ? `Undo: ${scan.said.undo} (Z)` : "Nothing to undo";
  find("redo").title = scan.said.redo ? `Redo: ${scan.said.redo} (Y)` : "Nothing to redo";
  const steps = scan.said.clicks.length + [scan.said.lowest, scan.said.highest, scan.said.count].filter(Boolean).length;
  const changed = steps ? `${steps} correction${steps > 1 ? "s" : ""}` : "as the networks gave it";
  const by = decided ? ` by ${scan.who || "somebody"}, ${new Date(scan.when).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}` : "";
  const saved = !row || row.kept || row.revision !== scan.revision ? (scan.revision ? "saved" : "") : row.why ? `not saved: ${row.why}` : "saving ...";
  find("state").replaceChildren(element("span", { class: "badge", "data-state": scan.state }, scan.state), `${by || ` · ${changed}`}${decided ? ` · ${changed}` : ""}`,
    element("span", { class: "saved" }, saved ? ` · ${saved}` : ""));
}

function drawSide() {
  const scan = view.scan;
  const row = rowOf(view.id);
  find("title").textContent = row ? row.title : "";
  if (document.activeElement !== find("note")) find("note").value = scan ? scan.note : "";
  drawState();
  drawWarnings();
  drawHere();
  drawNumbering();
  find("from").textContent = scan ? `Automatic result of ${scan.from}.` : "";
  if (!scan) find("tables").replaceChildren();
}

function drawWarnings() {
  const said = view.scan ? view.scan.warnings : [];
  for (const [id, fits] of [["warnings", (one) => one.rank !== "note"], ["remarks", (one) => one.rank === "note"]]) {
    const kept = said.filter(fits);
    show(find(id), kept.length > 0);
    find(id).querySelector("ul").replaceChildren(...kept.map(warning));
  }
}

function warning(one) {
  const text = [element("code", {}, one.code), ` ${one.text}`];
  return element("li", { class: one.rank }, one.at_mm
    ? element("button", { type: "button", class: "goto", title: "Go to the place", onclick: () => viewer.go(one.at_mm) }, ...text)
    : element("span", {}, ...text));
}

function drawNumbering() {
  const scan = view.scan;
  show(find("numbering"), Boolean(scan));
  if (!scan) return;
  const { confidence, second_best: second } = scan.numbering;
  find("numbering-text").textContent = confidence === null ? "How sure the names are is not known from labels alone."
    : `The names have a probability of ${percent(confidence)}, given the number of lumbar vertebrae.` + (second.length ? ` Next best from the top: ${second.join(" ")}.` : "");
  for (const end of ["lowest", "highest", "count"]) find(end).value = scan.said[end] === null ? "" : String(scan.said[end]);
}

/* ---- measurements */

const COLUMNS = [
  ["volume_ml", "Volume", "ml", 1], ["anterior_mm", "Ant.", "mm", 1], ["middle_mm", "Mid.", "mm", 1], ["posterior_mm", "Post.", "mm", 1],
  ["wedge_deg", "Wedge", "°", 1],
];
const EXTRA = { body: ["segment_deg", "Segm.", "°", 1], disc: ["signal", "Signal", "", 2] };

async function drawMeasures() {
  const id = view.id;
  try {
    const rows = await ask(`scans/${id}/measurements`);
    if (view.id !== id) return;
    const tables = [["body", "Body"], ["disc", "Disc"]].map(([kind, title]) => table(kind, title, rows.filter((row) => row.kind === kind)));
    const lordosis = rows.find((row) => row.kind === "lordosis");
    const line = lordosis && lordosis.segment_deg !== null ? element("p", { class: "soft" }, `Lordosis ${lordosis.text}: ${lordosis.segment_deg.toFixed(0)}°, lying`) : "";
    find("tables").replaceChildren(...tables.filter(Boolean), ...(line ? [line] : []));
    lightRow();
  } catch (problem) {
    if (problem.kind !== "wait") find("tables").replaceChildren(element("p", { class: "soft" }, problem.message));
  }
}

function table(kind, title, rows) {
  if (!rows.length) return null;
  const columns = [...COLUMNS, EXTRA[kind]];
  const head = columns.map(([, name, unit]) => element("th", { scope: "col" }, name, unit ? element("small", {}, ` ${unit}`) : ""));
  const body = rows.map((row) => {
    const cells = columns.map(([field, , , decimals]) => element("td", {}, row[field] === null || row[field] === undefined ? "·" : row[field].toFixed(decimals).replace("-", "−")));
    const swatch = element("i", {});
    swatch.style.background = colour(row.structure);
    const goto = element("button", { type: "button", class: "goto", title: "Find it in the picture", onclick: () => goTo(row.structure) }, swatch, row.text);
    const line = element("tr", { onpointerenter: () => lightOf(row.structure), onpointerleave: () => viewer.light(0) },
      element("th", { scope: "row" }, goto, row.cut === "no" ? "" : element("small", { title: "cut by the border of the field of view" }, " cut")), ...cells);
    line.dataset.structure = row.structure;
    return line;
  });
  return element("table", {}, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, title), ...head)), element("tbody", {}, ...body));
}

function lightOf(name) {
  const known = words.byName.get(name);
  if (known) viewer.light(known.value);
}

function goTo(name) {
  const structure = view.scan && view.scan.structures.find((one) => one.name === name);
  if (structure) viewer.go(structure.centroid_mm);
}

function lightRow() {
  const known = here();
  for (const row of document.querySelectorAll("tr[data-structure]")) row.classList.toggle("on", Boolean(known) && row.dataset.structure === known.name);
}

function hovered(point) {
  const known = point && words.byValue.get(point.value);
  find("under-what").textContent = known ? known.text : point ? "no structure" : "Wheel: slices · left: point · right drag: greys";
  find("under-where").textContent = point
    ? `value ${Number(point.grey.toPrecision(6))} · ${point.mm.map((v) => v.toFixed(1)).join(", ")} mm (right, front, up)` : "";
  for (const row of document.querySelectorAll("tr[data-structure]")) row.classList.toggle("under", Boolean(known) && row.dataset.structure === known.name);
}

/* ---- keys */

function stepStructure(by) {
  if (!view.scan) return;
  const all = view.scan.structures;
  const known = here();
  const at = known ? all.indexOf(known) : by > 0 ? -1 : all.length;
  const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
  if (next) viewer.go(next.centroid_mm);
}

function toggleBox(id) {
  find(id).checked = !find(id).checked;
  find(id).dispatchEvent(new Event("change"));
}

const KEYS = {
  n: () => { const row = neighbour(1); if (row) open(row.id); },
  p: () => { const row = neighbour(-1); if (row) open(row.id); },
  a: () => view.scan && view.scan.state === "new" && decide("accepted"),
  r: () => view.scan && view.scan.state === "new" && decide("rejected"),
  z: undo,
  u: undo,
  y: redo,
  o: () => viewer.toggle(),
  l: () => toggleBox("outlines"),
  m: () => toggleBox("names"),
  w: () => viewer.resetGreys(),
  i: () => (find("chips").querySelector('[aria-pressed="true"]') || find("chips").firstElementChild)?.focus(),
  s: () => setTool("split"),
  j: () => setTool("join"),
  "+": () => setTool("add"),
  "=": () => setTool("add"),
  "-": () => setTool("take"),
  "/": () => find("search").focus(),
  "?": () => find("help").showModal(),
  Delete: remove,
  Backspace: remove,
  Escape: () => (view.preview ? leavePreview(true) : setTool("look")),
  " ": () => act(view.point),
  ArrowLeft: () => viewer.step(-1, 0, 0),
  ArrowRight: () => viewer.step(1, 0, 0),
  ArrowUp: () => stepStructure(-1),
  ArrowDown: () => stepStructure(1),
};
const MOVES = { ArrowLeft: [0, 1, 0], ArrowRight: [0, -1, 0], ArrowUp: [0, 0, 1], ArrowDown: [0, 0, -1] };

function pressed(event) {
  if (find("help").open) return;
  const typing = event.target.matches("input[type=search], input[type=text], select");
  if (typing) {
    if (event.key === "Escape" || (event.key === "Enter" && event.target.matches("input"))) event.target.blur();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z" || key === "y") { event.preventDefault(); (key === "y" || event.shiftKey ? redo : undo)(); }
    return;
  }
  if (event.altKey) return;
  if (event.target.matches("button, a, input") && (key === "Enter" || key === " ")) return;
  if (event.target.matches("input[type=range]") && key.startsWith("Arrow")) return;
  if (event.shiftKey && MOVES[event.key]) { event.preventDefault(); event.stopPropagation(); viewer.step(...MOVES[event.key]); return; }
  if (event.target.closest("#chips") && key.startsWith("Arrow")) { event.preventDefault(); moveChip(key); return; }
  if (key === "Enter" && view.preview) { event.preventDefault(); keep(); return; }
  if (/^[1-6]$/.test(key) && here() && here().kind !== "disc") { nameIt(`L${key}`); return; }
  if (!KEYS[key]) return;
  event.preventDefault();
  event.stopPropagation();
  KEYS[key]();
}

function moveChip(key) {
  const chips = [...find("chips").children];
  const at = chips.indexOf(document.activeElement);
  chips[Math.min(Math.max(at + (key === "ArrowRight" || key === "ArrowDown" ? 1 : -1), 0), chips.length - 1)].focus();
}

/* ---- a file that is dropped */

async function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  for (const file of event.dataTransfer.files) {
    tell(`Taking ${file.name} ...`, "note");
    try {
      const response = await fetch(`api/drop?name=${encodeURIComponent(file.name)}`, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: file });
      const answer = await response.json();
      if (response.status !== 200) throw new Refused(answer);
      await poll();
      await open(answer.id);
    } catch (problem) {
      tell(problem.message, problem.kind);
    }
  }
}

/* ---- the beginning */

function fillChoices() {
  const option = (value, text) => element("option", { value }, text);
  find("add-to").replaceChildren(option("body", "a new body"), option("disc", "a new disc"), ...words.list.filter((one) => one.usual).map((one) => option(one.name, one.text)));
  const ends = [...words.list].filter((one) => one.kind === "body" && one.usual);
  for (const id of ["lowest", "highest"]) find(id).replaceChildren(option("", "as found"), ...ends.map((one) => option(one.name, one.text)));
}

function listen() {
  const on = (id, kind, work) => find(id).addEventListener(kind, work);
  on("accept", "click", () => decide("accepted"));
  on("reject", "click", () => decide("rejected"));
  on("reopen", "click", () => decide("new"));
  on("undo", "click", undo);
  on("redo", "click", redo);
  on("keep", "click", keep);
  on("discard", "click", () => leavePreview(true));
  on("delete", "click", remove);
  on("next", "click", KEYS.n);
  on("previous", "click", KEYS.p);
  on("window", "click", () => viewer.resetGreys());
  on("help-open", "click", () => find("help").showModal());
  on("opacity", "input", () => viewer.setOpacity(find("opacity").value / 100));
  on("outlines", "change", () => viewer.setOutlines(find("outlines").checked));
  on("names", "change", () => viewer.setNames(find("names").checked));
  on("search", "input", drawList);
  on("filter", "change", drawList);
  on("note", "change", () => view.scan && view.scan.state !== "new" && decide(view.scan.state));
  for (const id of ["lowest", "highest", "count"]) on(id, "change", number);
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => setTool(button.dataset.tool));
  document.addEventListener("keydown", pressed, true);
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", dropped);
  find("canvas").addEventListener("contextmenu", (event) => event.preventDefault());
}

async function begin() {
  const vocabulary = await ask("words");
  words.list = vocabulary.structures;
  for (const one of words.list) {
    words.byValue.set(one.value, one);
    words.byName.set(one.name, one);
  }
  fillChoices();
  listen();
  const colours = new Map(words.list.map((one) => [one.value, { text: one.text, rgb: one.colour, kind: one.kind }]));
  colours.set(vocabulary.canal, { text: "", rgb: [153, 153, 153], kind: "canal" });
  viewer = new Viewer(find("canvas"), find("overlay"), colours);
  viewer.onpoint = pointed;
  viewer.onhover = hovered;
  viewer.onact = act;
  await viewer.start();
  await poll();
  keepPolling();
  const first = rowOf(location.hash.slice(1)) || view.list.scans.find((row) => row.state === "new") || view.list.scans[0];
  if (first) await open(first.id);
}

begin().catch((problem) => cover(`The page cannot start: ${problem.message}. It needs a browser with WebGL2.`));
