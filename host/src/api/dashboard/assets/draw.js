// Makes elements out of what the node said. Every value becomes a text node or an attribute: nothing is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child) => child != null && child !== ""));
  return element;
}

export function bytes(count) {
  if (count == null) return "unknown";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  let number = count;
  while (number >= 1024 && place < units.length - 1) {
    number /= 1024;
    place += 1;
  }
  return `${place === 0 || number >= 100 ? Math.round(number) : number.toFixed(1)} ${units[place]}`;
}

export function moment(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? String(text ?? "") : at.toLocaleString();
}

const roles = {
  leader: "leader",
  standby_leader: "standby leader",
  sync_standby: "synchronous standby",
  quorum_standby: "quorum standby",
  replica: "replica",
};

function table(titles, rows) {
  const head = el("tr", {}, ...titles.map((title) => el("th", { scope: "col" }, title)));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows));
}

function cell(label, ...children) {
  return el("td", { "data-label": label }, ...children);
}

export function members(state, actions) {
  const titles = ["Member", "Role", "State", "Timeline", "Behind", "Fences", "Last decision"];
  if (actions) titles.push("Actions");
  return table(titles, state.members.map((member) => row(state, member, actions)));
}

function row(state, member, actions) {
  const node = member.node;
  const here = member.name === state.served_by ? el("small", {}, " (this node)") : null;
  const last = node?.decisions?.at(-1);
  const cells = [
    el("th", { scope: "row" }, member.name, here, el("div", {}, el("small", {}, place(member)))),
    cell("Role", roles[member.role] ?? member.role ?? "unknown"),
    cell("State", ...stateOf(member)),
    cell("Timeline", String(node?.timeline ?? member.timeline ?? "unknown")),
    cell("Behind", ...lagOf(state, member)),
    cell("Fences", ...fences(node)),
    cell("Last decision", ...(last ? [`rule ${last.rule}: ${last.action}`, el("br"), el("small", {}, last.reason)] : ["unknown"])),
  ];
  if (actions) cells.push(el("td", {}, el("span", { class: "actions" }, ...actions(member))));
  return el("tr", { "data-member": member.name }, ...cells);
}

function place(member) {
  const address = member.host ? `${member.host}:${member.port}` : "";
  return [address, member.node?.software].filter(Boolean).join(", ");
}

function stateOf(member) {
  const parts = [];
  const state = member.node?.state ?? member.state ?? "unknown";
  const shown = member.state === "streaming" && state === "running" ? "streaming" : state;
  parts.push(el("span", { class: ["running", "streaming"].includes(shown) ? "good" : "warn" }, shown));
  if (member.silent) parts.push(el("div", { class: "bad" }, `API: ${member.silent}`));
  if (member.node?.failsafe_active) parts.push(el("div", { class: "warn" }, "failsafe mode is active"));
  if (member.node?.task) parts.push(el("div", {}, member.node.task));
  if (member.node?.progress) parts.push(progress(member.node.progress));
  parts.push(...pending(member));
  const scheduled = member.node?.scheduled_restart ?? member.scheduled_restart;
  if (scheduled) parts.push(el("div", {}, `restart scheduled for ${moment(scheduled.schedule)}`));
  return parts;
}

function progress(at) {
  const total = at.bytes_total;
  const said = total ? `${bytes(at.bytes)} of ${bytes(total)}` : bytes(at.bytes);
  const text = [at.method, said, at.message].filter(Boolean).join(", ");
  const bar = total ? el("progress", { max: total, value: Math.min(at.bytes, total), "aria-label": text }) : null;
  return el("div", {}, bar, el("small", {}, text));
}

export function reasons(member) {
  const reason = member.node?.pending_restart ?? member.pending_restart_reason ?? {};
  return Object.entries(reason).map(([name, value]) => `${name}: ${value?.old_value} → ${value?.new_value}`);
}

function pending(member) {
  const list = reasons(member);
  if (list.length === 0) return member.pending_restart ? [el("div", { class: "warn" }, "restart pending")] : [];
  return [el("div", { class: "warn" }, "restart pending for ", list.join(", "))];
}

function lagOf(state, member) {
  if (member.name === state.leader) return ["leads"];
  const lines = [el("span", { class: "number" }, bytes(member.replay_behind))];
  if (member.receive_behind != null && member.receive_behind !== member.replay_behind) {
    lines.push(el("div", {}, el("small", {}, `${bytes(member.receive_behind)} not received`)));
  }
  return lines;
}

function fences(node) {
  if (!node?.guard) return ["unknown"];
  const parts = [];
  if (node.lease_left_ms != null) {
    parts.push(el("div", { class: "number" }, `lock for ${(node.lease_left_ms / 1000).toFixed(0)} s`));
  }
  const guard = node.guard;
  const word = guard.mode === "off" ? "off" : !guard.alive ? "not running" : guard.armed ? "armed" : "standing by";
  parts.push(el("div", { class: word === "not running" ? "bad" : "" }, `guard ${word}`));
  const dog = node.watchdog;
  if (dog.mode !== "off" && (dog.state === "open" || dog.failed || dog.mode === "required")) {
    parts.push(el("div", { class: dog.failed ? "bad" : "" }, `watchdog ${dog.failed ? "failed" : dog.state}`));
  }
  return parts;
}

export function decisions(state) {
  return state.members.map((member) => {
    const list = [...(member.node?.decisions ?? [])].reverse();
    const latest = list[0];
    const title = latest ? `${member.name}: rule ${latest.rule}, ${latest.action}` : `${member.name}: not known here`;
    const items = list.map((one) => {
      const outcome = one.outcome ? ` (${one.outcome})` : "";
      const times = one.times > 1 ? `, ${one.times} times` : "";
      const why = `rule ${one.rule}, ${one.situation}: ${one.action}: ${one.reason}${outcome}`;
      return el("li", {}, el("small", {}, `${moment(one.at)}${times}`), el("br"), why);
    });
    return el("details", { "data-key": `decisions ${member.name}` }, el("summary", {}, title), el("ol", {}, ...items));
  });
}

export function history(state) {
  if (state.history.length === 0) return el("p", { class: "note" }, "The cluster is on its first timeline.");
  const rows = [...state.history].reverse().map((one) =>
    el("tr", {},
      el("th", { scope: "row" }, String(one.timeline)), cell("Ended at", one.lsn), cell("When", one.at ? moment(one.at) : "unknown"),
      cell("New leader", one.leader ?? "unknown"), cell("Reason", one.reason)));
  return table(["Timeline", "Ended at", "When", "New leader", "Reason"], rows);
}

export function synchronous(state) {
  const sync = state.synchronous;
  if (sync.mode === "off") return "Synchronous mode is off.";
  const strict = sync.strict ? ", strict" : "";
  const names = sync.standbys.length > 0 ? sync.standbys.join(", ") : "nobody";
  const quorum = sync.mode === "quorum" ? `, quorum ${sync.quorum}` : "";
  return `Synchronous mode is ${sync.mode}${strict}: confirmed by ${names}${quorum}.`;
}

export function chart(name, samples) {
  const values = samples.map((sample) => sample.behind).filter((value) => value != null);
  const now = samples.at(-1)?.behind;
  const most = Math.max(0, ...values);
  const label = `${name}: ${bytes(now)} behind now, ${bytes(most)} at most`;
  const svg = document.createElementNS(SVG, "svg");
  fill(svg, { viewBox: "0 0 240 56", preserveAspectRatio: "none", role: "img", "aria-label": label }, []);
  const first = samples[0]?.at ?? 0;
  const span = Math.max(1, (samples.at(-1)?.at ?? 0) - first);
  const point = ({ at, behind }) =>
    `${(((at - first) / span) * 240).toFixed(1)},${(54 - (most ? (behind / most) * 50 : 0)).toFixed(1)}`;
  // What was not known leaves a gap.
  const lines = [[]];
  for (const sample of samples) {
    if (sample.behind == null) lines.push([]);
    else lines.at(-1).push(point(sample));
  }
  for (const line of lines.filter((line) => line.length > 1)) {
    svg.append(fill(document.createElementNS(SVG, "polyline"), { points: line.join(" ") }, []));
  }
  const caption = el("figcaption", {}, el("span", {}, name), el("small", {}, `now ${bytes(now)}, most ${bytes(most)}`));
  return el("figure", {}, caption, svg);
}
