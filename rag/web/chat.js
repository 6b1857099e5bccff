// Asking: the composer, the turns of the open conversation, asking the last question again or otherwise.
"use strict";

// `id`: the open conversation, null before its first answer. `last`: the newest turn. `opening`: what is being
// fetched to be shown; nothing is asked meanwhile.
const talk = { id: null, last: null, flight: null, opening: null };

function startTurn(question, act) {
  $("welcome").hidden = true;
  const turn = make("article", "turn");
  const answer = make("div", "answer waiting");
  const label = make("p", "label", "Reading the documents …");
  const words = make("div", "words");
  const asked = make("div", "asked");
  const box = { turn, asked, answer, label, words, question, message: null, text: "" };
  asked.append(make("p", "", question));
  if (act) asked.append(makeButton("redo", "Edit", () => edit(box)));
  answer.append(label, words);
  turn.append(asked, answer);
  $("talk").append(turn);
  turn.scrollIntoView({ block: "end" });
  talk.last = box;
  return box;
}

// Whether the reader is at the end, and not reading what stands above.
function isAtEnd() {
  const { bottom } = talk.last.turn.getBoundingClientRect();
  return bottom < $("composer").getBoundingClientRect().top + 80;
}

// As much of the turn as fits; of one that does not, the words before what they rest on.
function reveal(box) {
  const room = $("composer").getBoundingClientRect().top - Math.max(0, $("talk").getBoundingClientRect().top);
  const fits = box.turn.offsetHeight < room;
  (fits ? box.turn : box.answer).scrollIntoView({ block: fits ? "end" : "start" });
}

async function ask(question) {
  $("talk").setAttribute("aria-live", "polite");
  const box = startTurn(question, true);
  const flight = talk.flight = new AbortController();
  setBusy(true);
  let text = "";
  try {
    const messages = [{ role: "user", content: question }];
    const rag = { passages: true, conversation: talk.id ?? "new" };
    const body = JSON.stringify({ model: $("model").value, messages, stream: true, rag });
    const request = { method: "POST", body, signal: flight.signal };
    for await (const chunk of chunks(await call("/v1/chat/completions", request))) {
      const choice = chunk.choices[0];
      const follow = talk.last === box && isAtEnd();
      text += choice?.delta.content ?? "";
      box.words.textContent = text;
      if (choice?.finish_reason) finish(box, text, chunk.rag, true);
      if (follow) reveal(box);
      if (choice?.finish_reason && talk.flight === flight) {
        await settled(chunk.rag.conversation);
        if (follow) reveal(box); // its title took some of the room
      }
    }
  } catch (error) {
    fail(box, error);
  } finally {
    box.answer.classList.remove("waiting");
    if (talk.flight === flight) setBusy(false);
  }
}

function fail(box, error) {
  const stopped = error.name === "AbortError";
  box.answer.classList.toggle("failed", !stopped);
  box.label.textContent = stopped ? "Stopped" : "No answer";
  if (!stopped) box.answer.append(make("p", "reason", error.message));
  box.answer.append(redoRow(box));
  if (talk.last === box) box.turn.scrollIntoView({ block: "nearest" });
}

// The last question, or another in its place: what was answered before is taken back first.
async function askAgain(box, question) {
  if (talk.flight) return;
  try {
    if (box.message) await send("DELETE", `/v1/conversations/${talk.id}/messages/${box.message}`);
  } catch (error) {
    box.answer.append(make("p", "reason", error.message));
    return;
  }
  box.turn.remove();
  await ask(question);
}

function edit(box) {
  if (talk.flight) return;
  const form = make("form", "editing");
  const field = make("textarea");
  field.value = box.question;
  field.dir = "auto";
  field.setAttribute("aria-label", "Your question");
  const close = () => {
    form.replaceWith(box.asked);
    box.asked.querySelector(".redo")?.focus();
  };
  const row = make("div", "deeds");
  row.append(makeButton("plain", "Cancel", close), make("button", "", "Ask this"));
  form.append(field, row);
  form.onsubmit = (event) => {
    event.preventDefault();
    if (field.value.trim()) askAgain(box, field.value.trim());
  };
  field.onkeydown = (event) => {
    if (event.key === "Escape") close();
    submitOnEnter(event, form);
  };
  box.asked.replaceWith(form);
  field.oninput = () => fit(field);
  fit(field);
  field.focus();
}

function submitOnEnter(event, form) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
}

// As high as what is written in it; the style says where that ends.
function fit(field) {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
}

function setBusy(busy) {
  if (!busy) talk.flight = null;
  const here = [document.body, $("send"), $("stop"), $("question")].includes(document.activeElement);
  $("send").hidden = busy;
  $("stop").hidden = !busy;
  $("talk").setAttribute("aria-busy", String(busy));
  // Back to the next question, unless the reader has gone elsewhere meanwhile, or a keyboard would cover the answer.
  if (!busy && here && matchMedia("(pointer: fine)").matches) $("question").focus();
}

function stop() {
  talk.flight?.abort();
  if (talk.flight) setBusy(false);
}

// An empty desk.
function clearTalk() {
  stop();
  talk.id = talk.last = null;
  document.querySelectorAll(".turn").forEach((turn) => turn.remove());
  $("welcome").hidden = false;
  $("composer").hidden = false;
  $("about").hidden = true;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || talk.flight || talk.opening) return;
  $("question").value = "";
  fit($("question"));
  ask(question);
});
$("question").addEventListener("input", () => fit($("question")));
$("question").addEventListener("keydown", (event) => {
  submitOnEnter(event, $("composer"));
  if (event.key === "ArrowUp" && !$("question").value && talk.last) {
    event.preventDefault();
    edit(talk.last);
  }
});
$("stop").addEventListener("click", stop);
