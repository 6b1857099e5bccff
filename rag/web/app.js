// The chat page. Every word from the server becomes a text node: nothing it sends can become markup or a request.
"use strict";

const $ = (id) => document.getElementById(id);
const turns = [];
let flight = null;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// A form names its own type, with the boundary between its parts.
function headers(body) {
  const key = sessionStorage.getItem("key");
  const type = body instanceof FormData ? {} : { "Content-Type": "application/json" };
  return { ...type, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function call(path, options = {}) {
  for (;;) {
    const response = await fetch(path, { ...options, headers: headers(options.body) });
    if (response.ok) return response;
    if (response.status === 401) {
      await askForKey();
      continue;
    }
    const body = await response.json().catch(() => null);
    throw new Error(body?.error?.message ?? `the server answered with status ${response.status}`);
  }
}

function askForKey() {
  return new Promise((resolve, reject) => {
    const door = $("door");
    $("key").value = "";
    door.returnValue = "";
    door.onclose = () => {
      if (!$("key").value) return reject(new Error("a key is needed to ask this server"));
      sessionStorage.setItem("key", $("key").value);
      resolve();
    };
    if (!door.open) door.showModal();
  });
}

// Server-sent events, as JSON, until [DONE]. A stream that ends without it was cut off.
async function* chunks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the connection ended before the answer was whole");
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

function spot(source) {
  return [source.page ? `page ${source.page}` : "", source.section].filter(Boolean).join(" · ");
}

function openSource(kicker, source) {
  $("source-kicker").textContent = kicker;
  $("source-title").textContent = source.title;
  $("source-where").textContent = spot(source);
  $("source-quote").textContent = [source.header, source.quote].filter(Boolean).join("\n");
  $("source-path").textContent = source.uri;
  $("source").showModal();
}

function chip(citation) {
  const button = make("button", "chip", String(citation.marker));
  button.type = "button";
  button.setAttribute("aria-label", `Citation ${citation.marker}: ${citation.title}`);
  button.onclick = () => openSource(`Citation ${citation.marker}`, citation);
  return button;
}

// [n] becomes a button when the answer has a citation n, and stays text when it has not.
function writeWords(element, text, citations) {
  const byMarker = new Map(citations.map((citation) => [String(citation.marker), citation]));
  const nodes = text.split(/\[(\d+)\]/).map((piece, place) => {
    if (place % 2 === 0) return document.createTextNode(piece);
    return byMarker.has(piece) ? chip(byMarker.get(piece)) : document.createTextNode(`[${piece}]`);
  });
  element.replaceChildren(...nodes);
}

function sourceList(sources, kicker) {
  const list = make("ul", "sources");
  for (const source of sources) {
    const button = make("button");
    button.type = "button";
    if (source.marker) button.append(make("span", "number", String(source.marker)));
    button.append(make("span", "name", source.title), make("span", "spot", spot(source)));
    button.onclick = () => openSource(source.marker ? `${kicker} ${source.marker}` : kicker, source);
    const item = make("li");
    item.append(button);
    list.append(item);
  }
  return list;
}

function nearest(passages) {
  const seen = new Map();
  for (const { chunk, title, uri } of passages) {
    const found = { title, uri, quote: chunk.text, page: chunk.pages[0], section: chunk.heading_path.join(" › ") };
    if (!seen.has(uri)) seen.set(uri, found);
  }
  return [...seen.values()].slice(0, 3);
}

function facts(rag) {
  const { usage, cost } = rag;
  const tokens = usage.prompt_tokens + usage.completion_tokens;
  const seconds = rag.seconds.total ?? Object.values(rag.seconds).reduce((sum, each) => sum + each, 0);
  const line = make("p", "facts");
  const basis = cost.method.startsWith("estimate") ? " (estimate)" : "";
  const figure = cost.amount.toLocaleString("en", { minimumSignificantDigits: 2, maximumSignificantDigits: 2 });
  const amount = `${figure} ${cost.currency}${basis}`;
  const money = make("span", "", amount);
  money.title = cost.method;
  line.append(
    make("span", "", `tier ${rag.tier}`), make("span", "", `${tokens} tokens`),
    make("span", "", `${seconds.toFixed(2)} s`), money, make("span", "", rag.egress),
  );
  return line;
}

const LABELS = {
  answered: "Answer",
  quoted: "Quoted from the documents",
  computed: "Worked out from a table",
  clarify: "A question back",
  not_found: "Not in the documents",
};

function finish(box, text, rag) {
  box.label.textContent = LABELS[rag.outcome] ?? rag.outcome;
  writeWords(box.words, text, rag.citations);
  if (rag.outcome === "not_found") {
    box.answer.classList.add("none");
    const near = nearest(rag.passages ?? []);
    if (near.length) box.answer.append(make("p", "where", "Nearest passages"), sourceList(near, "Nearest passage"));
  } else {
    box.answer.append(sourceList(rag.citations, "Citation"));
  }
  box.answer.append(facts(rag));
}

function startTurn(question) {
  $("welcome")?.remove();
  const turn = make("article", "turn");
  const answer = make("div", "answer waiting");
  const label = make("p", "label", "Reading the documents …");
  const words = make("div", "words");
  answer.append(label, words);
  turn.append(make("p", "asked", question), answer);
  $("talk").append(turn);
  turn.scrollIntoView({ block: "end" });
  return { answer, label, words, turn };
}

async function ask(question) {
  const box = startTurn(question);
  flight = new AbortController();
  setBusy(true);
  let text = "";
  try {
    const messages = [...turns, { role: "user", content: question }];
    const body = { model: $("model").value, messages, stream: true, rag: { passages: true } };
    const request = { method: "POST", body: JSON.stringify(body), signal: flight.signal };
    for await (const chunk of chunks(await call("/v1/chat/completions", request))) {
      const choice = chunk.choices[0];
      text += choice?.delta.content ?? "";
      box.words.textContent = text;
      if (choice?.finish_reason) finish(box, text, chunk.rag);
      box.turn.scrollIntoView({ block: "end" });
    }
    turns.push({ role: "user", content: question }, { role: "assistant", content: text });
  } catch (error) {
    const stopped = error.name === "AbortError";
    box.answer.classList.toggle("failed", !stopped);
    box.label.textContent = stopped ? "Stopped" : "No answer";
    if (!stopped) box.answer.append(make("p", "reason", error.message));
  } finally {
    box.answer.classList.remove("waiting");
    setBusy(false);
  }
}

function setBusy(busy) {
  $("send").hidden = busy;
  $("stop").hidden = !busy;
  $("talk").setAttribute("aria-busy", String(busy));
  if (!busy) $("question").focus();
}

async function showStatus() {
  const status = await (await call("/v1/status")).json();
  const live = status.documents.live;
  $("status").textContent = `${live} document${live === 1 ? "" : "s"} · ${status.model}`;
}

async function start() {
  try {
    const models = await (await call("/v1/models")).json();
    $("model").replaceChildren(...models.data.map(({ id }) => {
      const option = make("option", "", id);
      option.value = id;
      return option;
    }));
    await showStatus();
  } catch (error) {
    $("status").textContent = error.message;
  }
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || !$("stop").hidden) return;
  $("question").value = "";
  ask(question);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  }
});
$("stop").addEventListener("click", () => flight?.abort());
$("fresh").addEventListener("click", () => {
  flight?.abort();
  turns.length = 0;
  document.querySelectorAll(".turn").forEach((turn) => turn.remove());
  $("question").focus();
});
start();
