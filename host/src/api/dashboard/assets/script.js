// Asks the node for the state of the cluster every two seconds, and draws what it says.

import * as draw from "./draw.js";
import * as actions from "./actions.js";

const PERIOD = 2000;
const PATIENCE = 8000;
// Five minutes of samples.
const SAMPLES = 150;

const { el } = draw;
const $ = (id) => document.getElementById(id);
const lag = new Map();
let state = null;
let seen = 0;

function button(key, text, label, onclick) {
  return el("button", { type: "button", "data-key": key, "aria-label": label, onclick }, text);
}

/** Draws without taking from a reader what has the focus or was unfolded. */
function keep(drawing) {
  const focus = document.activeElement?.closest("[data-key]")?.dataset.key;
  const open = new Set([...document.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  drawing();
  for (const one of document.querySelectorAll("details")) one.open = open.has(one.dataset.key);
  const again = focus && [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focus);
  if (again && document.activeElement !== again) (again.querySelector("summary") ?? again).focus({ preventScroll: true });
}

const mayAct = () => !state.credentials_needed || actions.account.name !== null;

function perMember(member) {
  const name = member.name;
  const list = [button(`restart ${name}`, "Restart…", `Restart ${name}`, () => actions.restart(state, member))];
  if (name !== state.leader) {
    list.push(button(`reinit ${name}`, "Reinitialize…", `Reinitialize ${name}`, () => actions.reinitialize(state, member)));
  }
  return list;
}

function operations() {
  if (!mayAct()) return [];
  const list = [];
  if (state.leader) list.push(button("switchover", "Switch over…", "Switch over", () => actions.switchOver(state)));
  if (state.scheduled_switchover) {
    list.push(button("cancel", "Cancel the scheduled switchover…", "Cancel the scheduled switchover", actions.cancelSwitchover));
  }
  const word = state.paused ? "Resume" : "Pause";
  list.push(button("pause", `${word}…`, `${word} automatic failover`, () => actions.pause(state)));
  return list;
}

function account() {
  if (!state.credentials_needed) return ["This API asks nobody for credentials."];
  if (actions.account.name === null) {
    return [button("login", "Log in to act…", "Log in to act", () => actions.logIn(drawAll))];
  }
  return [`${actions.account.name} `, button("logout", "Log out", "Log out", () => actions.logOut(drawAll))];
}

function scheduled() {
  const planned = state.scheduled_switchover;
  if (!planned) return "";
  const to = planned.to ? ` to ${planned.to}` : "";
  return `A switchover${to} is scheduled for ${draw.moment(planned.at)}.`;
}

function drawAll() {
  keep(() => {
    document.title = `${state.scope}: ${state.leader ?? "no leader"}`;
    $("scope").textContent = state.scope;
    $("paused").hidden = !state.paused;
    $("account").replaceChildren(...account());
    $("promise").textContent = state.guarantee.text;
    $("promise").className = state.guarantee.level;
    $("synchronous").textContent = draw.synchronous(state);
    $("scheduled").textContent = scheduled();
    $("operations").replaceChildren(...operations());
    $("members").replaceChildren(draw.members(state, mayAct() ? perMember : null));
    $("decisions").replaceChildren(...draw.decisions(state));
    $("history").replaceChildren(draw.history(state));
    const charts = [...lag].map(([name, samples]) => draw.chart(name, samples));
    $("lag").replaceChildren(...(charts.length > 0 ? charts : [el("p", { class: "note" }, "There is no standby.")]));
  });
}

function sample() {
  const standbys = state.members.filter((member) => member.name !== state.leader);
  for (const name of lag.keys()) {
    if (!standbys.some((member) => member.name === name)) lag.delete(name);
  }
  for (const member of standbys) {
    const samples = lag.get(member.name) ?? [];
    samples.push({ at: Date.now(), behind: member.silent == null ? member.replay_behind : null });
    lag.set(member.name, samples.slice(-SAMPLES));
  }
}

function source() {
  const line = $("source");
  const late = Date.now() - seen > 3 * PERIOD;
  const old = state && (state.store_age_ms == null || state.store_age_ms > state.settings.ttl * 1000);
  line.classList.toggle("stale", Boolean(late || old));
  if (!state) line.textContent = "The node has not answered yet.";
  else if (late) line.textContent = `${state.served_by} has not answered for ${Math.round((Date.now() - seen) / 1000)} s: what is shown is old.`;
  else if (old) line.textContent = `As ${state.served_by} sees it, which can not read the store.`;
  else line.textContent = `As ${state.served_by} sees it.`;
}

async function poll() {
  try {
    const answer = await fetch("dashboard/state", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.ok) {
      state = await answer.json();
      seen = Date.now();
      sample();
      drawAll();
    }
  } catch {
    // The line above the page says how old it is.
  }
  source();
  setTimeout(poll, PERIOD);
}

poll();
setInterval(source, 1000);
