// What was asked before: found, opened, renamed, shared, deleted. The address names what is open, so it
// survives a reload and can be sent to a colleague.
"use strict";

const LISTED = 30;
let next = null;
let waiting = null;

function day(seconds) {
  const then = new Date(seconds * 1000);
  const today = new Date();
  if (then.toDateString() === today.toDateString()) return then.toLocaleTimeString([], { timeStyle: "short" });
  return then.toLocaleDateString([], { day: "numeric", month: "short" });
}

function entry(found) {
  const button = makeButton("", undefined, () => go(found.id));
  button.append(make("span", "name", found.title), make("span", "spot", day(found.updated_at)));
  if (found.share) button.append(make("span", "spot", "shared"));
  button.dataset.key = found.id;
  button.title = found.title;
  const item = make("li");
  item.append(button);
  return item;
}

function markOpen() {
  for (const button of document.querySelectorAll("#conversations button")) {
    if (button.dataset.key === talk.id) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

async function listed(after) {
  const query = new URLSearchParams({ limit: LISTED, search: $("search").value, ...(after ? { after } : {}) });
  const reply = await fetchJson(`/v1/conversations?${query}`);
  next = reply.next;
  $("older").hidden = !next;
  return reply.conversations;
}

async function showConversations() {
  const found = await listed(null);
  draw($("conversations"), found.map(entry));
  $("no-conversations").hidden = found.length > 0;
  $("no-conversations").textContent = $("search").value ? "Nothing found." : "What you ask is kept here.";
  markOpen();
  const open = found.find((each) => each.id === talk.id);
  if (open) head(open.title);
}

// `mine`: it may be renamed, shared and deleted; `read`: it may be read only.
function head(title, { mine = true, read = false } = {}) {
  $("title").textContent = title;
  $("about").hidden = false;
  $("about-buttons").hidden = !mine;
  $("read-only").hidden = !read;
}

// An answer is whole, and kept under this id.
async function settled(id) {
  if (!id) return;
  talk.id = id;
  history.replaceState(null, "", `#${id}`);
  await tried(showConversations)();
}

function go(where) {
  showShelf(false);
  if (location.hash.slice(1) === where) return show();
  location.hash = where;
}

// `feedback`: the reader's own verdicts by message; null: a conversation of somebody else, to read only.
function lay(messages, feedback) {
  let box = null;
  $("talk").setAttribute("aria-live", "off"); // nobody wants all of it read aloud at once
  for (const message of messages) {
    if (message.role === "user") {
      box = startTurn(message.text, feedback !== null);
      continue;
    }
    box.answer.classList.remove("waiting");
    box.message = message.id;
    if (message.rag) finish(box, message.text, message.rag, feedback !== null);
    else withhold(box, message.withheld, feedback !== null);
    if (message.rag && feedback?.[message.id]) press(box, feedback[message.id].rating);
  }
}

async function open(id, where) {
  const found = await fetchJson(`/v1/conversations/${encodeURIComponent(id)}`);
  if (talk.opening !== where) return;
  talk.id = id;
  head(found.conversation.title);
  lay(found.messages, found.feedback);
  talk.last?.turn.scrollIntoView({ block: "end" });
  markOpen();
}

async function readAlong(token, where) {
  const found = await fetchJson(`/v1/shared/${encodeURIComponent(token)}`);
  if (talk.opening !== where) return;
  head(found.title, { mine: false, read: true });
  $("composer").hidden = true;
  lay(found.messages, null);
}

// What the address names. Who has clicked on something else meanwhile gets that.
async function show() {
  const where = talk.opening = { name: location.hash.slice(1) };
  clearTalk();
  markOpen();
  try {
    if (where.name.startsWith("shared=")) await readAlong(where.name.slice("shared=".length), where);
    else if (where.name.startsWith("conv-")) await open(where.name, where);
  } catch (error) {
    if (talk.opening === where) head(error.message, { mine: false });
  }
  if (talk.opening !== where) return;
  talk.opening = null;
  if (!$("composer").hidden) $("question").focus();
}

function showShelf(open) {
  const wasHere = $("shelf").contains(document.activeElement);
  document.body.classList.toggle("shelf-open", open);
  $("open-shelf").setAttribute("aria-expanded", String(open));
  if (open) $("search").focus();
  else if (wasHere) $("open-shelf").focus();
}

async function rename() {
  $("new-name").value = $("title").textContent;
  $("name").showModal();
  const wanted = await closed($("name"));
  const title = $("new-name").value.trim();
  if (wanted !== "rename" || !title) return;
  await send("PATCH", `/v1/conversations/${talk.id}`, { title });
  await showConversations();
}

async function share() {
  const shared = await (await send("POST", `/v1/conversations/${talk.id}/share`)).json();
  $("link").value = location.origin + shared.page;
  $("sharing-status").textContent = "";
  $("sharing").showModal();
  $("link").select();
  await closed($("sharing"));
  await showConversations();
}

async function unshare() {
  await send("DELETE", `/v1/conversations/${talk.id}/share`);
  $("sharing").close();
}

async function forget() {
  $("confirm-title").textContent = `Delete “${$("title").textContent}”?`;
  $("confirm-text").textContent = "Its questions, its answers and what you thought of them go for good.";
  $("confirm").showModal();
  if (await closed($("confirm")) !== "delete") return;
  await send("DELETE", `/v1/conversations/${talk.id}`);
  go("");
  await showConversations();
}

function moveThroughList(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const stops = [$("search"), ...document.querySelectorAll("#conversations button")];
  const there = stops[stops.indexOf(document.activeElement) + step];
  if (!there) return;
  event.preventDefault();
  there.focus();
}

$("fresh").addEventListener("click", () => go(""));
$("rename").addEventListener("click", tried(rename));
$("share").addEventListener("click", tried(share));
$("unshare").addEventListener("click", tried(unshare));
$("forget").addEventListener("click", tried(forget));
$("copy-link").addEventListener("click", tried(async () => {
  await copyText($("link").value);
  $("sharing-status").textContent = "Copied.";
}));
$("older").addEventListener("click", tried(async () => $("conversations").append(...(await listed(next)).map(entry))));
$("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(tried(showConversations), 200);
});
$("shelf").addEventListener("keydown", moveThroughList);
$("open-shelf").addEventListener("click", () => showShelf(!document.body.classList.contains("shelf-open")));
document.addEventListener("pointerdown", (event) => {
  const inside = $("shelf").contains(event.target) || $("open-shelf").contains(event.target);
  if (!inside && document.body.classList.contains("shelf-open")) showShelf(false);
});
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    showShelf(true);
  }
  if (event.key === "Escape" && document.body.classList.contains("shelf-open")) showShelf(false);
  else if (event.key === "Escape" && !document.querySelector("dialog[open], .editing")) stop();
});
window.addEventListener("hashchange", show);

// Signing in leads away from this page: where the reader was, and what he had not been answered yet.
$("sign-in").addEventListener("click", () => {
  const question = $("question").value || (talk.flight ? talk.last.question : "");
  sessionStorage.setItem("left", JSON.stringify({ where: location.hash, question }));
});

function comeBack() {
  const left = JSON.parse(sessionStorage.getItem("left") ?? "null");
  sessionStorage.removeItem("left");
  if (!left || location.hash) return;
  if (left.where) history.replaceState(null, "", left.where);
  $("question").value = left.question;
  fit($("question"));
}

async function start() {
  comeBack();
  if (location.hash) talk.opening = {};
  try {
    await showStatus();
    await Promise.all([showModels(), showWhoIsIn(), showConversations(), ...(location.hash ? [show()] : [])]);
  } catch (error) {
    talk.opening = null;
    $("status").textContent = error.message;
  }
}
start();
