// The documents panel: hand in files, watch them being read, delete them. Text nodes only, as in app.js.
"use strict";

const LOOK_MS = 1000;
const PAGE = 200;
const STAGES = { fetch: "fetching", parse: "reading", embed: "embedding", write: "writing" };
const STATES = {
  pending: "waiting", parsing: "being read", embedding: "being indexed", live: "live", quarantined: "set aside",
};
let watching = null;
let seen = "";
let after = null;

function bytes(count) {
  const steps = ["bytes", "kB", "MB", "GB"];
  const step = count ? Math.min(Math.floor(Math.log10(count) / 3), steps.length - 1) : 0;
  return `${(count / 1000 ** step).toLocaleString("en", { maximumFractionDigits: 1 })} ${steps[step]}`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function action(key, text, name, work) {
  const button = makeButton("plain", text, () => work().catch((error) => say(error.message)));
  button.dataset.key = key;
  button.setAttribute("aria-label", `${text} ${name}`);
  return button;
}

function say(text) {
  $("library-status").textContent = text;
}

function runFacts(job, done) {
  const { seconds, bottleneck, eta_s: left } = job.progress;
  const total = done + job.waiting;
  const facts = [`${done} of ${total} document${total === 1 ? "" : "s"}`];
  if (job.state === "paused") return [...facts, "paused"];
  if (!seconds) return [...facts, "starting"];
  if (done) facts.push(`${(done / seconds).toLocaleString("en", { maximumSignificantDigits: 2 })} per second`);
  facts.push(bottleneck ? `waits for ${STAGES[bottleneck] ?? bottleneck}` : "opening the index");
  if (left) facts.push(`about ${duration(left)} left`);
  return facts;
}

function run(job) {
  const done = (job.progress.documents ?? 0) + (job.progress.unchanged ?? 0) + job.quarantined;
  const name = `${job.source || "files"} into ${job.collection || "default"}`;
  const bar = make("progress");
  bar.max = Math.max(1, done + job.waiting);
  bar.value = done;
  bar.setAttribute("aria-label", `Progress of ${name}`);
  const turn = (verb) => async () => {
    await send("POST", `/v1/jobs/${job.id}/${verb}`);
    await look();
  };
  const paused = job.state === "paused";
  const buttons = make("span", "buttons");
  buttons.append(
    action(`${job.id}-hold`, paused ? "Resume" : "Pause", name, turn(paused ? "resume" : "pause")),
    action(`${job.id}-cancel`, "Cancel", name, turn("cancel")),
  );
  const item = make("li");
  item.append(make("span", "name", name), buttons, bar, make("span", "where", runFacts(job, done).join(" · ")));
  return item;
}

function row(found) {
  const item = make("li");
  const facts = [found.collection, bytes(found.size_bytes)];
  if (found.pages) facts.push(`${found.pages} page${found.pages === 1 ? "" : "s"}`);
  const remarks = [found.reason, ...found.warnings].filter(Boolean).join("; ");
  item.append(
    make("span", "name", found.title),
    make("span", `state ${found.state}`, STATES[found.state] ?? found.state),
    action(found.id, "Delete", found.title, () => remove(found)),
    make("span", "where", facts.join(" · ")),
  );
  if (remarks) item.append(make("span", `remark ${found.state}`, remarks));
  return item;
}

async function remove(found) {
  $("confirm-title").textContent = `Delete ${found.title}?`;
  $("confirm-text").textContent = found.source === "upload"
    ? "Its bytes and everything made of them go, and no answer uses it any more."
    : "No answer uses it any more. The original is not touched: the next run over its source brings it back.";
  $("confirm").showModal();
  if (await closed($("confirm")) !== "delete") return;
  const receipt = await (await send("DELETE", `/v1/documents/${found.id}`)).json();
  await showDocuments();
  say(receipt.complete ? `${found.title} is deleted.` : `${found.title} is deleted, but something of it is left.`);
}

async function page(from) {
  const where = from ? `&after=${encodeURIComponent(from)}` : "";
  const reply = await fetchJson(`/v1/documents?limit=${PAGE}${where}`);
  after = reply.next;
  $("more").hidden = !after;
  return reply.documents.map(row);
}

async function showDocuments() {
  const rows = await page(null);
  draw($("documents"), rows);
  $("no-documents").hidden = rows.length > 0;
  await showStatus();
}

// Jobs each second; documents only when a job has moved.
async function look() {
  const { jobs } = await fetchJson("/v1/jobs?limit=20");
  const open = jobs.filter((job) => job.state === "running" || job.state === "paused");
  draw($("runs"), open.map(run));
  const now = JSON.stringify(jobs.map((job) => [job.id, job.state, job.waiting, job.quarantined, job.progress.documents]));
  if (now !== seen) await showDocuments();
  seen = now;
}

async function watch() {
  try {
    await look();
  } catch (error) {
    say(error.message);
  }
  watching = $("library").open ? setTimeout(watch, LOOK_MS) : null;
}

function openLibrary() {
  if (!$("library").open) $("library").showModal();
  seen = "";
  if (!watching) watch();
}

async function handIn(files) {
  openLibrary();
  $("problems").replaceChildren();
  const collection = $("collection").value.trim() || "default";
  let taken = 0;
  for (const [place, file] of [...files].entries()) {
    say(`Sending ${place + 1} of ${files.length}: ${file.name}`);
    const body = new FormData();
    body.append("collection", collection);
    body.append("file", file, file.name);
    try {
      await call("/v1/documents", { method: "POST", body });
      taken += 1;
    } catch (error) {
      $("problems").append(make("li", "", `${file.name}: ${error.message}`));
    }
  }
  say(`${taken} of ${files.length} file${files.length === 1 ? "" : "s"} handed in.`);
  await look().catch((error) => say(error.message));
}

$("open-library").addEventListener("click", openLibrary);
$("files").addEventListener("change", async () => {
  const files = [...$("files").files];
  $("files").value = "";
  await handIn(files);
});
$("more").addEventListener("click", () => page(after).then(
  (rows) => $("documents").append(...rows), (error) => say(error.message),
));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  handIn(event.dataTransfer.files);
});
