// What the page stands on: the server, the key, elements. Every word from the server becomes a text node:
// nothing it sends can become markup or a request.
"use strict";

const $ = (id) => document.getElementById(id);
const AWAY = "the server does not answer: is it running, and is this device online?";
const BROKEN = "the connection ended before the answer was whole";
let knocking = null;
let wasIn = false;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function makeButton(className, text, work) {
  const button = make("button", className, text);
  button.type = "button";
  button.onclick = work;
  return button;
}

// Lists are drawn anew when they change; whoever stands on one of their buttons stays there.
function draw(list, items) {
  const key = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  list.replaceChildren(...items);
  if (key) [...list.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus();
}

// A form names its own type, with the boundary between its parts.
function headers(body) {
  const key = sessionStorage.getItem("key");
  const type = body instanceof FormData ? {} : { "Content-Type": "application/json" };
  return { ...type, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function call(path, options = {}) {
  for (;;) {
    const shown = sessionStorage.getItem("key");
    const response = await fetch(path, { ...options, headers: headers(options.body) }).catch((error) => told(error, AWAY));
    wasIn ||= response.ok;
    if (response.ok) return response;
    if (response.status === 401) {
      knocking ??= askForKey(shown).finally(() => { knocking = null; });
      await knocking;
      continue;
    }
    const body = await response.json().catch(() => null);
    throw new Error(body?.error?.message ?? `the server answered with status ${response.status}`);
  }
}

// Each browser has words of its own for a network that fails, and none says what to do. Who stopped knows.
function told(error, words) {
  throw error.name === "AbortError" ? error : new Error(words);
}

async function fetchJson(path) {
  return (await call(path)).json();
}

async function send(method, path, body) {
  return call(path, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
}

// `refused`: the key that did not open; null: none was shown.
async function askForKey(refused) {
  const offers = await fetch("/session").then((reply) => reply.json()).catch(() => ({}));
  $("sign-in").hidden = !offers.sign_in;
  const door = $("door");
  $("door-title").textContent = offers.sign_in ? "Sign in to this server" : "This server asks for a key";
  $("refused").textContent = refused ? "The server refused that key." : wasIn ? "Your session has ended." : "";
  $("key").value = "";
  if (!door.open) door.showModal();
  await closed(door);
  if (!$("key").value) throw new Error("a key is needed to ask this server");
  sessionStorage.setItem("key", $("key").value);
}

// What a dialog was closed with.
function closed(dialog) {
  dialog.returnValue = "";
  return new Promise((resolve) => { dialog.onclose = () => resolve(dialog.returnValue); });
}

// Server-sent events, as JSON, until [DONE]. A stream that ends without it was cut off.
async function* chunks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => told(error, BROKEN));
    if (done) throw new Error(BROKEN);
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (event === "data: [DONE]") return;
      const chunk = JSON.parse(event.slice("data: ".length));
      if (chunk.error) throw new Error(chunk.error.message);
      yield chunk;
    }
  }
}

// Browsers have a clipboard only where the address is safe: over TLS, or on this machine.
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = make("textarea", "unseen");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

async function showStatus() {
  const status = await fetchJson("/v1/status");
  const live = status.documents.live;
  $("status").textContent = `${live} document${live === 1 ? "" : "s"} · ${status.model}`;
  $("nothing-yet").hidden = live > 0;
}

function tried(work) {
  return () => work().catch((error) => { $("status").textContent = error.message; });
}

async function showModels() {
  const models = await fetchJson("/v1/models");
  $("model").replaceChildren(...models.data.map(({ id }) => {
    const option = make("option", "", id);
    option.value = id;
    return option;
  }));
}

async function showWhoIsIn() {
  const caller = await fetchJson("/v1/whoami");
  $("sign-out").hidden = !caller.user || Boolean(sessionStorage.getItem("key"));
}

$("sign-out").addEventListener("click", tried(async () => {
  await send("POST", "/logout");
  location.assign("/");
}));
