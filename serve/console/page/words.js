// SPDX-License-Identifier: Apache-2.0
// What is said in words: why it does not move, the reasoner, a task, the simulation's episodes.
const element = (id) => document.getElementById(id);
const STALE = 2; // s after which a node that says nothing is gone
const OLD = 10; // s after which it is said how long ago a task has ended
const SILENT = 3; // s after which what comes all the time has stopped

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
  draw(state, fresh) {
    const { values } = state;
    if (fresh.robot) set("robot", values.robot.name);
    this.draw_status(state);
    this.draw_reasoner(state, fresh);
    this.draw_task(values);
    this.draw_ages(state);
    if (fresh.simulation) this.draw_simulation(values.simulation);
    if (fresh.episodes || fresh.episode) this.draw_episodes(values, fresh.episodes);
  }

  draw_status(state) {
    const { status, chunk, diagnostics } = state.values;
    const connected = document.body.dataset.connection === "open";
    const [tone, mode, reason] = connected ? mode_of(status, (state.values.now ?? 0) - (status?.stamp ?? 0)) : ["bad", "disconnected", ""];
    element("state").dataset.tone = tone;
    set("mode", mode);
    const nobody = connected && state.values.policy === false ? "no policy is heard" : "";
    const why = [nobody, reason].filter(Boolean).join("; ");
    set("reason", why);
    element("reason").title = why; // where it is too long for its place
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

  // What is being done now, else what came of the last task.
  draw_task({ task, task_goal, task_result, now }) {
    const heard = task_goal && (now ?? 0) - task_goal.stamp <= STALE;
    const active = task && task_goal?.active && !task_result;
    element("task").hidden = !active && !task_result;
    element("cancel").hidden = !active;
    if (active) {
      set("task_phase", heard ? `${task.phase}, ${task.elapsed.toFixed(0)} s` : "the task server is silent");
      set("task_text", `step ${task.step} of ${task.steps}: ${task.instruction}`);
      set("task_progress", `${task.progress}${task.surprise >= 1 ? " Surprised." : ""}`);
    } else if (task_result) {
      const { outcome, message, seconds, steps_done, steps, question, answer, yes, stamp } = task_result;
      const ago = (now ?? 0) - stamp;
      set("task_phase", `${outcome} after ${seconds.toFixed(1)} s${ago > OLD ? `, ${ago.toFixed(0)} s ago` : ""}`);
      set("task_text", [message, steps > 1 ? `${steps_done} of ${steps} steps done` : ""].filter(Boolean).join("; "));
      const sure = yes === null ? "" : ` (yes: ${Math.round(100 * yes)} %)`;
      set("task_progress", question ? `${question} ${answer}${sure}` : "");
    }
  }

  draw_simulation({ real_time_factor }) {
    set("sim_now", real_time_factor === null ? "" : `x${real_time_factor.toFixed(2)} real time`);
  }

  // What has stopped coming is shown as it was, and said to be.
  draw_ages(state) {
    const seen = Math.min(...Object.keys(state.values).filter((kind) => kind.startsWith("view ")).map(state.age));
    show_age("joints_age", [".joints", "#scene3d"], state.age("joints"), "not measured");
    show_age("seen_age", ["#seen"], seen, "no picture");
    show_age("sim_age", ["#simulation"], state.age("simulation"), "silent");
  }

  // The newest is on top; only its line changes until another begins.
  draw_episodes({ episodes, episode }, another) {
    const line = episode_line(episode);
    if (another || !this.running) {
      element("episodes").replaceChildren(line, ...(episodes ?? []).map(episode_line).reverse());
    } else {
      this.running.replaceWith(line);
    }
    this.running = line;
  }
}

function show_age(id, parts, age, what) {
  const silent = Number.isFinite(age) && age > SILENT;
  set(id, silent ? `${what} for ${age.toFixed(0)} s` : "");
  for (const part of parts) document.querySelector(part).classList.toggle("silent", silent);
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

function episode_line(one) {
  const line = document.createElement("tr");
  line.dataset.solved = one.outcome === "solved";
  for (const text of [one.episode, one.task, one.seed, one.outcome, `${one.elapsed.toFixed(1)} s`, one.chunks]) {
    line.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  line.children[3].className = "outcome";
  return line;
}
