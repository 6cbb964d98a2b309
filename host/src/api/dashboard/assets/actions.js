// What the page can do: each deed is explained and confirmed first. Credentials live in this module's memory and
// nowhere else, and go to the node that the page came from.

import { el, reasons } from "./draw.js";

let authorization = null;

export const account = { name: null };

const $ = (id) => document.getElementById(id);

async function call(method, path, body) {
  const headers = { "X-Regent-Dashboard": "1" };
  if (authorization) headers.Authorization = authorization;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const answer = await fetch(path, { method, headers, body: sent, cache: "no-store" });
    const type = answer.headers.get("content-type") ?? "";
    const text = await answer.text();
    return { ok: answer.ok, code: answer.status, text: type.includes("charset") || type.includes("json") ? "" : text };
  } catch {
    return { ok: false, code: 0, text: "the node can not be reached" };
  }
}

function explain(said) {
  const text = said.text.trim() || (said.ok ? "done" : "refused");
  return said.ok || said.code === 0 ? text : `${text} (${said.code})`;
}

/** Shows what will happen, and does it once that is confirmed. `act` gives the answer of the node. */
function ask({ title, content, confirm, danger, act, ready }) {
  const dialog = $("dialog");
  const opener = document.activeElement?.closest("[data-key]")?.dataset.key;
  const form = $("dialog-form");
  const button = $("dialog-confirm");
  const cancel = $("dialog-cancel");
  $("dialog-title").textContent = title;
  $("dialog-text").replaceChildren(...content);
  $("dialog-answer").textContent = "";
  button.textContent = confirm;
  button.className = danger ? "danger" : "";
  button.hidden = false;
  cancel.textContent = "Cancel";
  const allow = () => { button.disabled = ready ? !ready() : false; };
  allow();
  form.oninput = allow;
  cancel.onclick = () => dialog.close();
  form.onsubmit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    $("dialog-answer").textContent = "Asked; waiting for the answer…";
    const said = await act();
    $("dialog-answer").textContent = explain(said);
    $("dialog-answer").className = said.ok ? "good" : "bad";
    button.disabled = false;
    if (said.ok) {
      button.hidden = true;
      cancel.textContent = "Close";
      cancel.focus();
    }
  };
  // What opened it may have been drawn anew meanwhile.
  dialog.onclose = () => [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === opener)?.focus();
  dialog.showModal();
}

const paragraph = (...text) => el("p", {}, ...text);

export function logIn(then) {
  const name = el("input", { id: "login-name", autocomplete: "off", required: true });
  const password = el("input", { id: "login-password", type: "password", autocomplete: "off", required: true });
  ask({
    title: "Log in",
    content: [
      paragraph("User name and password of the REST API. This page forgets them when it is closed or loaded again."),
      el("label", {}, "User name", name),
      el("label", {}, "Password", password),
    ],
    confirm: "Log in",
    act: async () => {
      const text = new TextEncoder().encode(`${name.value}:${password.value}`);
      authorization = `Basic ${btoa(String.fromCharCode(...text))}`;
      const said = await call("POST", "dashboard/login");
      if (said.ok) {
        account.name = name.value;
        $("dialog").close();
        then();
      } else {
        authorization = null;
      }
      return said;
    },
  });
}

export function logOut(then) {
  authorization = null;
  account.name = null;
  then();
}

function candidates(state) {
  const fit = (member) => member.name !== state.leader && member.tags?.nofailover !== true && member.silent == null;
  const named = (member) => state.synchronous.standbys.includes(member.name);
  const bound = state.synchronous.mode === "on" && state.synchronous.standbys.length > 0;
  return state.members.filter((member) => fit(member) && (!bound || named(member))).map((member) => member.name);
}

export function switchOver(state) {
  const names = candidates(state);
  const best = state.paused ? [] : [el("option", { value: "" }, "whoever is placed best")];
  const choice = el("select", { id: "candidate" }, ...best, ...names.map((name) => el("option", { value: name }, name)));
  const from = state.leader;
  ask({
    title: `Switch over from ${from}`,
    content: [
      paragraph(`${from} stops taking writes and its server is stopped in order. The new leader takes over once it has everything: nothing that was acknowledged is lost.`),
      paragraph(`Sessions on ${from} end, and writes fail until the new leader takes them, usually for a few seconds. ${from} comes back as a standby by itself.`),
      names.length === 0 ? paragraph("No other member can take over at the moment.") : el("label", {}, "New leader", choice),
    ],
    confirm: "Switch over",
    ready: () => names.length > 0,
    act: () => call("POST", "switchover", choice.value ? { leader: from, candidate: choice.value } : { leader: from }),
  });
}

export function cancelSwitchover() {
  ask({
    title: "Cancel the scheduled switchover",
    content: [paragraph("The leader stays; nothing else changes.")],
    confirm: "Cancel the switchover",
    act: () => call("DELETE", "switchover"),
  });
}

export function pause(state) {
  const content = state.paused
    ? [paragraph("Members act by themselves again: they start servers that are down, and one of them takes the lock if nobody has it.")]
    : [paragraph("While the cluster is paused, nothing is started, stopped or promoted by itself: if the leader fails, nobody takes over until an operator resumes or fails over by hand."),
       paragraph("The guard stands down: a server whose daemon ends goes on running.")];
  ask({
    title: state.paused ? "Resume automatic failover" : "Pause automatic failover",
    content,
    confirm: state.paused ? "Resume" : "Pause",
    act: async () => {
      const said = await call("PATCH", "config", { pause: state.paused ? null : true });
      const text = state.paused ? "resumed; members follow within a moment" : "paused; members follow within a moment";
      return said.ok ? { ...said, text } : said;
    },
  });
}

const target = (member, action) => `dashboard/members/${encodeURIComponent(member.name)}/${action}`;

export function restart(state, member) {
  const leads = member.name === state.leader;
  const list = reasons(member);
  const limit = state.settings.primary_start_timeout;
  ask({
    title: `Restart PostgreSQL on ${member.name}`,
    content: [
      paragraph(`The server on ${member.name} is stopped and started again: its sessions end.`),
      leads ? paragraph(`It leads: writes fail until it is back. If that takes longer than ${limit} s, another member takes over.`) : "",
      list.length > 0 ? paragraph("What takes effect: ", list.join(", ")) : "",
    ],
    confirm: "Restart",
    act: () => call("POST", target(member, "restart"), {}),
  });
}

export function reinitialize(state, member) {
  const typed = el("input", { id: "typed", autocomplete: "off", spellcheck: "false" });
  const others = candidates(state).filter((name) => name !== member.name);
  ask({
    title: `Reinitialize ${member.name}`,
    content: [
      paragraph(`The data directory of ${member.name} is deleted and copied anew from the cluster. Until that is done, ${member.name} answers no queries and cannot take over.`),
      others.length === 0 ? paragraph("No other standby could take over meanwhile.") : "",
      el("label", {}, `Type ${member.name} to confirm`, typed),
    ],
    confirm: "Delete and copy",
    danger: true,
    ready: () => typed.value === member.name,
    act: () => call("POST", target(member, "reinitialize"), {}),
  });
}
