// SPDX-License-Identifier: Apache-2.0
// What can be pressed. Requests of their own: a stop does not wait behind pictures.
const element = (id) => document.getElementById(id);
const REFUSED = 10_000; // ms for which the refusal of a stop stays
const refused = { text: "", until: 0 };

export async function act(name, body = {}) {
  const said = element("said");
  said.dataset.done = "";
  said.textContent = `${name} ...`;
  let reply;
  try {
    const answer = await fetch(`/do/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    reply = await answer.json();
  } catch (error) {
    reply = { done: false, message: `the console does not answer (${error.message})` };
  }
  const text = `${name}: ${reply.message || (reply.done ? "done" : "refused")}`;
  const stays = name !== "stop" && Date.now() < refused.until; // a stop that was refused is not written over
  said.dataset.done = reply.done && !stays;
  said.textContent = stays ? `${refused.text}; ${text}` : text;
  if (name === "stop") Object.assign(refused, { text, until: reply.done ? 0 : Date.now() + REFUSED });
  return reply;
}

export class Controls {
  constructor() {
    for (const name of ["stop", "arm", "disarm", "cancel"]) element(name).onclick = () => act(name);
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.repeat) act("stop");
    });
    this.on_submit("instruct", () => act("instruct", { instruction: element("instruction").value }));
    this.on_submit("ask", async () => {
      const question = element("question").value;
      element("answer_question").textContent = question;
      element("answer_text").textContent = "...";
      const reply = await act("ask", { question });
      if (!reply.done) element("answer_text").textContent = reply.message;
    });
    this.on_submit("reset", () => {
      const seed = element("sim_seed").value;
      act("reset", { task: element("sim_task").value, seed: seed === "" ? -1 : Number(seed) });
    });
  }

  on_submit(id, action) {
    element(id).onsubmit = (event) => {
      event.preventDefault();
      action();
    };
  }

  // What stands in the field, unless somebody writes there.
  suggest(text) {
    if (text !== undefined && document.activeElement !== element("instruction")) element("instruction").value = text;
  }

  // What the policy was told last, and whether the field says something else.
  draw_instruction({ instruction, chunk }) {
    const said = instruction ?? chunk?.instruction;
    if (said !== this.said) this.suggest(said);
    this.said = said;
    const text = element("instruction").value;
    const unsent = Boolean(text) && text !== said;
    element("instruct").dataset.unsent = unsent;
    element("instruction_label").textContent = unsent ? "Instruction, not sent" : "Instruction";
  }

  draw({ values }, fresh) {
    if (fresh.robot) {
      const { control, tasks } = values.robot;
      const why = control ? "" : "this console only looks, stops, disarms and cancels: see view_control";
      for (const one of document.querySelectorAll("#arm, #instruct input, #instruct button, #reset *")) {
        one.disabled = !control;
        one.title = why;
      }
      element("sim_task").replaceChildren(...tasks.map((name) => new Option(name)));
      if (values.simulation) element("sim_task").value = values.simulation.task;
    }
    if (fresh.simulation && values.simulation.episode !== this.episode) {
      this.episode = values.simulation.episode;
      element("sim_task").value = values.simulation.task;
      this.suggest(values.simulation.instruction);
    }
    this.draw_instruction(values);
    element("simulation").hidden = values.simulation === undefined;
    const armed = values.status?.armed;
    element("disarm").disabled = armed === false;
    if (values.robot?.control) element("arm").disabled = armed !== false;
  }
}
