// SPDX-License-Identifier: Apache-2.0
// What is said in words: why it does not move, the reasoner, a task, the simulation's episodes.
const element = (id) => document.getElementById(id);
const EPISODES = 100; // kept in the table
const STALE = 2; // s after which a commander that says nothing is gone

function set(id, text) {
  const one = element(id);
  if (one.textContent !== text) one.textContent = text;
}

function mode_of(status, age) {
  if (!status || age > STALE) return ["bad", "no commander is heard", ""];
  const what = { playing: "moving", holding: "holding", waiting: "waiting" }[status.mode] ?? status.mode;
  if (!status.armed) return ["idle", `dry run · ${what === "moving" ? "would move" : what}`, status.reason];
  return [status.mode === "playing" ? "good" : "wait", `armed · ${what}`, status.reason];
}

export class Words {
  constructor() {
    this.row = null; // of the running episode
    this.chunks = 0;
  }

  draw(state, fresh) {
    const { values } = state;
    if (fresh.robot) set("robot", values.robot.name);
    this.draw_status(state);
    this.draw_reasoner(state, fresh);
    this.draw_task(values);
    if (fresh.chunk) this.chunks += 1;
    if (fresh.simulation) this.draw_simulation(values.simulation);
  }

  draw_status(state) {
    const { status, chunk, diagnostics } = state.values;
    const connected = document.body.dataset.connection === "open";
    const [tone, mode, reason] = connected ? mode_of(status, (state.values.now ?? 0) - (status?.stamp ?? 0)) : ["bad", "disconnected", ""];
    element("state").dataset.tone = tone;
    set("mode", mode);
    set("reason", reason);
    if (!status) return;
    const left = status.mode === "playing" ? `, ${Math.max(0, status.remaining).toFixed(1)} s left` : "";
    const number = status.chunk ? ` (chunk ${status.chunk}${left})` : "";
    set("follows", chunk ? `${chunk.instruction || "no instruction"}${number}` : "no chunk yet");
    set("counts", `${status.played} played, ${status.rejected} rejected, ${status.limited} limited`);
    set("rejection", status.last_rejection || "none");
    set("limit", status.last_limit || "none");
    const lines = (diagnostics ?? []).map(([name, text]) => `${name}: ${text}`).join("\n");
    if (lines !== this.lines) {
      this.lines = lines;
      element("diagnostics").replaceChildren(
        ...lines.split("\n").filter(Boolean).map((line) => {
          const item = document.createElement("li");
          item.textContent = line;
          return item;
        }),
      );
    }
  }

  draw_reasoner(state, fresh) {
    const { scene, answer } = state.values;
    if (scene) {
      set("scene_question", `${scene.question} ${Math.max(0, state.now() - scene.stamp).toFixed(0)} s ago`);
      set("scene_text", scene.text);
      if (fresh.scene) element("checks").replaceChildren(...scene.checks.map(check_line));
    } else if (!answer) {
      set("scene_text", "nothing said yet");
    }
    if (fresh.answer) {
      set("answer_question", answer.question);
      set("answer_text", answer.text);
    }
  }

  draw_task({ task, task_active }) {
    element("task").hidden = !(task && task_active);
    if (!task) return;
    set("task_phase", `${task.phase}, ${task.elapsed.toFixed(0)} s`);
    set("task_text", `step ${task.step} of ${task.steps}: ${task.instruction}`);
    set("task_progress", task.progress);
  }

  draw_simulation(now) {
    const factor = now.real_time_factor;
    set("sim_now", `${factor === null ? "" : `x${factor.toFixed(2)} real time`}`);
    if (this.row?.episode !== now.episode) {
      if (this.row) this.show_episode(this.row, false);
      this.row = { episode: now.episode, solved: false, before: this.chunks };
    }
    const { row } = this;
    if (!row.solved) Object.assign(row, now, { solved: now.success, chunks: this.chunks - row.before });
    this.show_episode(row, true);
  }

  show_episode(row, is_newest) {
    const line = episode_line(row, is_newest);
    if (row.line) row.line.replaceWith(line);
    else element("episodes").prepend(line);
    row.line = line;
    if (element("episodes").children.length > EPISODES) element("episodes").lastChild.remove();
  }
}

function check_line([question, yes]) {
  const line = document.createElement("div");
  line.className = "check";
  const gauge = document.createElement("div");
  gauge.className = "gauge";
  gauge.append(document.createElement("i"));
  gauge.firstChild.style.width = `${100 * (yes ?? 0)}%`;
  const text = document.createElement("span");
  text.textContent = question;
  const share = document.createElement("span");
  share.textContent = yes === null ? "?" : `${Math.round(100 * yes)} %`;
  line.append(text, gauge, share);
  return line;
}

function episode_line(one, is_newest) {
  const line = document.createElement("tr");
  line.dataset.solved = one.solved;
  const outcome = one.solved ? "solved" : is_newest ? "running" : "not solved";
  for (const text of [one.episode, one.task, one.seed, `${one.elapsed.toFixed(1)} s`, one.chunks, outcome]) {
    line.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  return line;
}
