// One answer on the page: its words with citations, what it rests on, what it cost, what the reader thinks of it.
"use strict";

const LABELS = {
  answered: "Answer",
  quoted: "Quoted from the documents",
  computed: "Worked out from a table",
  clarify: "A question back",
  not_found: "Not in the documents",
};
const REASONS = {
  wrong: "It is wrong",
  incomplete: "Something is missing",
  wrong_source: "It cites the wrong place",
  outdated: "It is out of date",
  unclear: "It is hard to understand",
  other: "Something else",
};
const CHANGED = "This document has changed since the answer was given.";
let pictured = null; // the source whose page is wanted now
const THUMB = "M3 11h4v9H3zM9 11l4-8c2 0 2.5 1.5 2 3.5L14.5 9.5H19c1.2 0 2 1 1.7 2.2l-1.5 6.5c-.3 1.1-1 1.8-2.2 1.8H9z";

function spot(source) {
  return [source.page ? `page ${source.page}` : "", source.section].filter(Boolean).join(" · ");
}

function openSource(kicker, source) {
  $("source-kicker").textContent = kicker;
  $("source-title").textContent = source.title;
  $("source-where").textContent = spot(source);
  $("source-quote").textContent = source.quote ? [source.header, source.quote].filter(Boolean).join("\n") : CHANGED;
  $("source-path").textContent = source.uri;
  $("page").hidden = true;
  $("source").showModal();
  pictured = source;
  showPage(source).catch(() => {}); // a format without pictures of its pages
}

// Drawn and not linked: the key travels in a header, which an image's address cannot have.
async function showPage(source) {
  if (!source.boxes?.length) return;
  const words = new URLSearchParams({ chunk: source.chunk_id, start: source.start });
  if (source.end) words.set("end", source.end);
  const page = source.page ?? source.boxes[0].page;
  const response = await call(`/v1/documents/${encodeURIComponent(source.document_id)}/pages/${page}.png?${words}`);
  const picture = await createImageBitmap(await response.blob());
  if (pictured !== source) return;
  // Of a chunk on two pages, only who looks for the words knows which of them it is.
  source.page = Number(response.headers.get("Content-Location").match(/(\d+)\.png$/)[1]);
  $("source-where").textContent = spot(source);
  [$("page").width, $("page").height] = [picture.width, picture.height];
  $("page").getContext("2d").drawImage(picture, 0, 0);
  $("page").hidden = false;
}

function chip(citation) {
  const button = makeButton("chip", String(citation.marker), () => openSource(`Citation ${citation.marker}`, citation));
  button.setAttribute("aria-label", `Citation ${citation.marker}: ${citation.title}`);
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
    const name = source.marker ? `${kicker} ${source.marker}` : kicker;
    const button = makeButton("", undefined, () => openSource(name, source));
    if (source.marker) button.append(make("span", "number", String(source.marker)));
    button.append(make("span", "name", source.title), make("span", "spot", source.quote ? spot(source) : "changed since"));
    const item = make("li");
    item.append(button);
    list.append(item);
  }
  return list;
}

function nearest(passages) {
  const seen = new Map();
  for (const { chunk, document_id, title, uri } of passages) {
    const place = { page: chunk.pages[0], section: chunk.heading_path.join(" › "), boxes: chunk.boxes };
    const found = { document_id, title, uri, quote: chunk.text, chunk_id: chunk.id, start: 0, ...place };
    if (!seen.has(uri)) seen.set(uri, found);
  }
  return [...seen.values()].slice(0, 3);
}

function short(figure) {
  return figure.toLocaleString("en", { minimumSignificantDigits: 2, maximumSignificantDigits: 2 });
}

function titled(text, title) {
  const element = make("span", "", text);
  element.title = title;
  return element;
}

function trust(confidence) {
  const word = confidence >= 0.75 ? "high" : confidence >= 0.45 ? "medium" : "low";
  const element = titled(`${word} confidence`, `right in about ${Math.round(confidence * 100)} of 100 such answers, by estimate`);
  element.className = `trust ${word}`;
  return element;
}

function facts(rag) {
  const { usage, cost } = rag;
  const seconds = rag.seconds.total ?? Object.values(rag.seconds).reduce((sum, each) => sum + each, 0);
  const basis = cost.method.startsWith("estimate") ? " (estimate)" : "";
  const line = make("p", "facts");
  if (rag.confidence !== null && rag.confidence !== undefined) line.append(trust(rag.confidence));
  line.append(
    make("span", "", `tier ${rag.tier}`),
    make("span", "", `${usage.prompt_tokens + usage.completion_tokens} tokens`),
    make("span", "", `${seconds.toFixed(2)} s`),
    titled(`${short(cost.amount)} ${cost.currency}${basis}`, cost.method),
  );
  if (cost.energy_wh) {
    const band = `between ${short(cost.energy_low_wh)} and ${short(cost.energy_high_wh)} Wh; ${short(cost.co2e_g)} gCO2e`;
    line.append(titled(`${short(cost.energy_wh)} Wh`, band));
  }
  if (rag.cached) line.append(make("span", "", "answered before"));
  line.append(make("span", "", rag.egress));
  return line;
}

// A finished answer in its box. `act`: whose answer it is may judge it and ask again.
function finish(box, text, rag, act) {
  box.text = text;
  box.message = rag.message;
  box.label.textContent = LABELS[rag.outcome] ?? rag.outcome;
  writeWords(box.words, text, rag.citations);
  const cut = rag.finish === "length" ? ["It is cut short: the model's tokens ended before its words."] : [];
  box.answer.append(...[...(rag.notes ?? []), ...cut].map((note) => make("p", "note", note)));
  if (rag.outcome === "not_found") {
    box.answer.classList.add("none");
    const near = nearest(rag.passages ?? []);
    if (near.length) box.answer.append(make("p", "where", "Nearest passages"), sourceList(near, "Nearest passage"));
  } else {
    box.answer.append(sourceList(rag.citations, "Citation"));
  }
  box.answer.append(facts(rag));
  if (rag.why) box.answer.append(make("p", "why", `Why ${rag.why}`));
  if (act) box.answer.append(deeds(box));
}

function withhold(box, reason, act) {
  box.label.textContent = "Not shown";
  box.words.textContent = reason;
  box.answer.classList.add("none");
  if (act) box.answer.append(redoRow(box));
}

function redoRow(box) {
  const row = make("div", "deeds");
  row.append(makeButton("redo", "Ask again", () => askAgain(box, box.question)));
  return row;
}

function thumb(rating, name) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", THUMB);
  drawing.append(path);
  const button = makeButton(`thumb ${rating}`);
  button.setAttribute("aria-label", name);
  button.setAttribute("aria-pressed", "false");
  button.title = name;
  button.append(drawing);
  return button;
}

function deeds(box) {
  const row = redoRow(box);
  const said = make("span", "said");
  said.setAttribute("role", "status");
  const copy = makeButton("", "Copy", () => copyText(box.text).then(
    () => { said.textContent = "Copied."; },
    () => { said.textContent = "The browser does not let this page copy; select the words instead."; },
  ));
  box.thumbs = { up: thumb("up", "Good answer"), down: thumb("down", "Bad answer") };
  box.thumbs.up.onclick = () => judge(box, said, { rating: "up" });
  box.thumbs.down.onclick = () => askWhy(box, said);
  row.prepend(copy, ...(box.message ? Object.values(box.thumbs) : []));
  row.append(said);
  return row;
}

function press(box, rating) {
  for (const [name, button] of Object.entries(box.thumbs)) button.setAttribute("aria-pressed", String(name === rating));
}

async function judge(box, said, verdict) {
  try {
    await send("POST", `/v1/conversations/${talk.id}/messages/${box.message}/feedback`, verdict);
    press(box, verdict.rating);
    said.textContent = "Thank you.";
    box.answer.querySelector(".why-not")?.remove();
  } catch (error) {
    said.textContent = error.message;
  }
}

function askWhy(box, said) {
  box.answer.querySelector(".why-not")?.remove();
  const form = make("form", "why-not");
  const reason = make("select");
  reason.setAttribute("aria-label", "What is wrong with it");
  for (const [value, name] of Object.entries(REASONS)) {
    const option = make("option", "", name);
    option.value = value;
    reason.append(option);
  }
  const comment = make("input");
  comment.placeholder = "In your words, if you like";
  comment.maxLength = 2000;
  comment.setAttribute("aria-label", "Comment");
  const give = make("button", "", "Send");
  form.append(reason, comment, give, make("p", "where", "Whoever looks after the documents will see this question and its answer, not your name."));
  form.onsubmit = (event) => {
    event.preventDefault();
    judge(box, said, { rating: "down", reason: reason.value, comment: comment.value });
  };
  box.answer.append(form);
  reason.focus();
}
