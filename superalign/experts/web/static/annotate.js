"use strict";
// Every page works without this. It adds single keys, keeps the item held while somebody is there, and counts the time.
const annotate = document.querySelector("#annotate");
const idle = document.querySelector("#idle");
const page = annotate || idle;
if (page) setTimeout(() => { page.dataset.ready = ""; }, 250); // a key meant for the page before must not answer this item
let sent = false;
let active = performance.now();

document.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  else if (event.target.method === "post") sent = true;
});
addEventListener("pageshow", () => { sent = false; });
for (const sign of ["keydown", "pointerdown", "pointermove", "scroll"])
  addEventListener(sign, () => { active = performance.now(); }, { passive: true });

// A live region speaks when its text changes, not when the page comes.
const note = document.querySelector("#note");
if (note && note.textContent) {
  const text = note.textContent;
  note.textContent = "";
  setTimeout(() => { note.textContent = text; }, 150);
}

for (const details of document.querySelectorAll("details.edit, details.flag"))
  details.addEventListener("toggle", () => { if (details.open) details.querySelector("textarea, input:not([type=hidden])").focus(); });

const help = document.querySelector("#keys");
const opener = document.querySelector("a[data-key='?']");
if (help instanceof HTMLDialogElement && opener)
  opener.addEventListener("click", (event) => { event.preventDefault(); help.showModal(); });

addEventListener("keydown", (event) => {
  const writing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
  if (event.key === "Escape" && writing) {
    const details = event.target.closest("details");
    if (details) details.querySelector("summary").focus();
    return;
  }
  if (!page || page.dataset.shortcuts === "off" || writing || sent || event.repeat) return;
  if (event.ctrlKey || event.altKey || event.metaKey || (help && help.open) || !("ready" in page.dataset)) return;
  const wanted = event.key.toLowerCase();
  const target = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === wanted);
  if (!target) return;
  event.preventDefault();
  target.click();
});

// Sends the hidden fields of a form; null when the server cannot be reached.
const post = (form, where) =>
  fetch(where, { method: "POST", body: new URLSearchParams(new FormData(form)) }).catch(() => null);

const here = () => !document.hidden && performance.now() - active < 120_000;

if (annotate) {
  const store = "seconds " + annotate.dataset.item;
  const give = document.querySelector("#give");
  let seconds = Number(sessionStorage.getItem(store)) || 0;
  setInterval(() => {
    if (here()) sessionStorage.setItem(store, String((seconds += 0.5)));
    if (give) give.elements.seconds.value = String(seconds);
  }, 500);
  const held = document.querySelector("form[action='/skip']");
  setInterval(async () => {
    if (document.hidden || performance.now() - active > 600_000) return;
    const answer = await post(held, "/heartbeat");
    if (answer === null) note.textContent = "The server cannot be reached. Your answer is not lost: send it when it is back.";
    else if (!answer.ok) note.textContent = "Your time on this item ran out. An answer still counts as long as nobody else has taken the item.";
  }, Math.max(1, annotate.dataset.leaseS / 3) * 1000);
}

if (idle) {
  const form = document.querySelector("form.wait");
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await post(form, "/waiting");
    if (answer && answer.status === 200) location.reload();
  }, 5000);
}
