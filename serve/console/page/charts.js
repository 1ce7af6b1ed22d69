// SPDX-License-Identifier: Apache-2.0
// Joints, commanded and measured, and what the chunks cost by stage against how long they last.
import { uPlot } from "./vendor.js";

const element = (id) => document.getElementById(id);
const SECONDS = 20; // shown of joints
const PERIOD = 200; // ms between two drawings, in which a plot of them moves by about a pixel
const SHARE = 0.2; // of the time that drawing may take
const LEAST = 0.05; // rad or m that a plot shows at least: a still arm is a flat line
const CHUNKS = 60; // shown of latencies
const SURPRISES = 60; // s shown of surprises
const GAP = 3; // s between two of them in which something was not compared
const MEASURED = "#5aa9f8", COMMANDED = "#f0a35b", GRID = "#252b35", DIM = "#8a94a3", BAD = "#e5484d";
const STAGES = ["#3b6ea8", "#5aa9f8", "#7fd1c7", "#4fbf87", "#b5c95a", "#f0a35b", "#c58af9", "#e58fb1"];

function axis(size, extra = {}) {
  return { stroke: DIM, grid: { stroke: GRID, width: 1 }, ticks: { show: false }, font: "10px system-ui", size, gap: 2, ...extra };
}

// What all names begin with, up to an underscore: "panda_" of panda_joint1, panda_joint2.
function shared_words(names) {
  let words = names[0] ?? "";
  while (words && !names.every((name) => name.startsWith(words) && name !== words)) words = words.slice(0, -1);
  return words.slice(0, words.lastIndexOf("_") + 1);
}

class Joint {
  constructor(spec, title) {
    this.spec = spec;
    const box = document.createElement("div");
    box.className = "joint";
    box.innerHTML =
      '<div class="title"><span></span><b></b></div><div class="gauge"><i class="commanded"></i><i class="measured"></i></div><div class="plot"></div>';
    box.querySelector("span").textContent = title;
    box.title = spec.name;
    this.value = box.querySelector("b");
    this.marks = { commanded: box.querySelector("i.commanded"), measured: box.querySelector("i.measured") };
    this.box = box.querySelector(".plot");
    this.outer = box;
    if (spec.lower === null) box.querySelector(".gauge").style.visibility = "hidden";
  }

  plot() {
    const range = (_, low, high) => {
      if (low === null) return [-LEAST / 2, LEAST / 2];
      const spare = Math.max(0, LEAST - (high - low)) / 2 + 0.05 * (high - low);
      return [low - spare, high + spare];
    };
    this.chart = new uPlot(
      {
        ...this.size(),
        legend: { show: false },
        cursor: { show: false },
        padding: [4, 2, 0, 0],
        scales: { x: { time: false, range: [-SECONDS, 0] }, y: { range } },
        axes: [{ show: false }, axis(34, { space: 18, values: (_, ticks) => ticks.map((tick) => tick.toFixed(2)) })],
        series: [{}, { stroke: COMMANDED, width: 1.5, points: { show: false } }, { stroke: MEASURED, width: 1.5, points: { show: false } }],
        hooks: { draw: [(chart) => this.draw_limits(chart)] },
      },
      [[], [], []],
      this.box,
    );
  }

  size() {
    return { width: Math.max(60, this.box.clientWidth), height: Math.max(30, this.box.clientHeight) };
  }

  draw_limits(chart) {
    const { left, width } = chart.bbox;
    for (const limit of [this.spec.lower, this.spec.upper]) {
      if (limit === null || limit < chart.scales.y.min || limit > chart.scales.y.max) continue;
      const y = chart.valToPos(limit, "y", true);
      chart.ctx.save();
      chart.ctx.strokeStyle = BAD;
      chart.ctx.setLineDash([3, 4]);
      chart.ctx.beginPath();
      chart.ctx.moveTo(left, y);
      chart.ctx.lineTo(left + width, y);
      chart.ctx.stroke();
      chart.ctx.restore();
    }
  }

  show(last) {
    const text = last.measured === null ? "-" : `${last.measured.toFixed(3)} ${this.spec.gripper ? "" : this.spec.unit}`;
    if (this.value.textContent !== text) this.value.textContent = text;
    for (const [kind, mark] of Object.entries(this.marks)) {
      const share = (last[kind] - this.spec.lower) / (this.spec.upper - this.spec.lower);
      mark.style.visibility = last[kind] === null ? "hidden" : "visible";
      mark.style.left = `${100 * Math.min(Math.max(share, 0), 1)}%`;
    }
  }
}

export class Charts {
  constructor() {
    this.joints = [];
    this.samples = []; // [time, commanded by joint, measured by joint]
    this.chunks = [];
    this.surprises = []; // as they came
    this.next = 0; // ms, when the joints may be drawn again
    for (const id of ["joints", "latency", "surprise_plot"]) new ResizeObserver(() => this.resize()).observe(element(id));
  }

  resize() {
    for (const joint of this.joints) joint.chart.setSize(joint.size());
    this.latency?.setSize(size_of("latency"));
    this.surprise?.setSize(size_of("surprise_plot"));
  }

  draw(state, fresh) {
    const { values } = state;
    if (fresh.robot) {
      const shared = shared_words(values.robot.joints.filter((one) => !one.gripper).map((one) => one.name));
      this.joints = values.robot.joints.map((spec) => {
        const skipped = !spec.gripper && spec.name.startsWith(shared) ? shared.length : 0;
        return new Joint(spec, spec.name.slice(skipped));
      });
      element("joints").replaceChildren(...this.joints.map((joint) => joint.outer));
      for (const joint of this.joints) joint.plot();
      this.samples = [];
    }
    if (fresh.joints) this.add_sample(values);
    if (fresh.chunk) this.add_chunk({ ...values.chunk, lasts: values.chunk.duration / Math.max(state.rate(), 0.01) });
    if (fresh.surprise) this.add_surprise(values.surprise);
    if (values.surprise) this.say_surprise(values.surprise, state.age("surprise"));
    if (performance.now() >= this.next && this.samples.length) this.draw_joints();
  }

  draw_joints() {
    const began = performance.now();
    const end = this.samples.at(-1)[0];
    const times = this.samples.map(([time]) => time - end);
    for (const { spec, chart } of this.joints) {
      const of = (k) => this.samples.map((sample) => sample[k][spec.name] ?? null);
      chart.setData([times, of(1), of(2)]);
    }
    this.next = began + PERIOD;
    // uPlot draws in microtasks, which are done before this one
    queueMicrotask(() => (this.next = Math.max(this.next, began + (performance.now() - began) / SHARE)));
  }

  add_sample({ joints, command }) {
    const last = this.samples.at(-1)?.[0];
    if (last !== undefined && (joints.stamp < last || joints.stamp > last + SECONDS)) this.samples = [];
    const recent = command && Math.abs(command.stamp - joints.stamp) < 0.5;
    const commanded = recent ? command.positions : {};
    this.samples.push([joints.stamp, commanded, joints.positions]);
    for (const joint of this.joints) {
      const { name } = joint.spec;
      joint.show({ commanded: commanded[name] ?? null, measured: joints.positions[name] ?? null });
    }
    while (this.samples[0][0] < joints.stamp - SECONDS) this.samples.shift();
  }

  add_chunk(chunk) {
    if (this.chunks.length && chunk.number < this.chunks.at(-1).number) this.chunks = [];
    this.chunks.push(chunk);
    if (this.chunks.length > CHUNKS) this.chunks.shift();
    const names = chunk.stages.map(([name]) => name);
    if (this.names?.join() !== names.join()) this.plot_latency(names);
    // stacked: each series is drawn over the next, which is higher
    const sums = this.chunks.map(({ stages }) => stages.reduce((all, [, s]) => [...all, (all.at(-1) ?? 0) + 1000 * (s ?? 0)], []));
    const series = names.map((_, k) => sums.map((sum) => sum[k] ?? null)).reverse();
    const numbers = this.chunks.map((_, k) => k - this.chunks.length + 1);
    this.latency.setData([numbers, ...series, this.chunks.map((one) => 1000 * one.lasts)]);
    const took = sums.at(-1).at(-1) ?? 0;
    const lasts = 1000 * chunk.lasts;
    element("latency_now").textContent = `${took.toFixed(0)} ms; one lasts ${lasts.toFixed(0)} ms`;
    element("latency_now").classList.toggle("late", took > lasts);
    this.keys.forEach((key, k) => {
      const took = 1000 * (chunk.stages[k][1] ?? 0);
      key.lastChild.textContent = `${names[k]} ${took.toFixed(0)}`;
      key.hidden = took < 1;
    });
  }

  plot_latency(names) {
    this.names = names;
    this.latency?.destroy();
    const color = (k) => STAGES[k % STAGES.length];
    this.keys = names.map((_, k) => {
      const key = document.createElement("span");
      const mark = document.createElement("i");
      mark.style.background = color(k);
      key.append(mark, "");
      return key;
    });
    element("stages").replaceChildren(...this.keys);
    const bars = uPlot.paths.bars({ size: [0.8, 12], align: 0 });
    this.latency = new uPlot(
      {
        ...size_of("latency"),
        legend: { show: false },
        cursor: { show: false },
        padding: [4, 4, 6, 0],
        scales: { x: { time: false, range: [-CHUNKS + 0.4, 0.6] }, y: { range: (_, low, high) => [0, 1.08 * (high ?? 1)] } },
        axes: [{ show: false }, axis(42, { space: 22 })],
        series: [
          {},
          ...names.map((_, k) => ({ fill: color(names.length - 1 - k), stroke: color(names.length - 1 - k), width: 0, paths: bars, points: { show: false } })),
          { stroke: "#dbe1e9", width: 1.5, dash: [6, 4], points: { show: false } },
        ],
      },
      [[], ...names.map(() => []), []],
      element("latency"),
    );
  }

  // 1 is what undisturbed episodes reach about once in ten minutes.
  add_surprise(surprise) {
    const last = this.surprises.at(-1)?.stamp;
    if (last !== undefined && surprise.stamp < last) this.surprises = [];
    // nothing is drawn across a time in which nothing was compared
    if (surprise.stamp - last > GAP) this.surprises.push({ stamp: last + GAP, value: null, alarm: false });
    this.surprises.push(surprise);
    if (surprise.alarm) this.alarmed = surprise;
    while (this.surprises[0].stamp < surprise.stamp - SURPRISES) this.surprises.shift();
    element("surprise").hidden = false;
    this.surprise ??= this.plot_surprise();
    const times = this.surprises.map(({ stamp }) => stamp - surprise.stamp);
    const alarms = this.surprises.map(({ value, alarm }) => (alarm ? value : null));
    this.surprise.setData([times, this.surprises.map(({ value }) => value), alarms, times.map(() => 1)]);
  }

  // The newest, how old it is if it is, and the last alarm for as long as the curve shows it.
  say_surprise(surprise, age) {
    const [view] = surprise.views.reduce((most, one) => (one[1] > most[1] ? one : most), ["", -Infinity]);
    const since = surprise.stamp - (this.alarmed?.stamp ?? -Infinity);
    const parts = [`${surprise.value?.toFixed(2) ?? "?"}, most in ${view}`];
    if (age > GAP) parts.push(`${age.toFixed(0)} s ago`);
    if (since >= 0 && since < SURPRISES) {
      const did = this.alarmed.reaction === "report" ? "" : ` (${this.alarmed.reaction})`;
      parts.push(`alarm${did}${since > 0 ? ` ${since.toFixed(0)} s before` : ""}`);
    }
    element("surprise_now").textContent = parts.join(", ");
    element("surprise_now").classList.toggle("late", surprise.alarm);
  }

  plot_surprise() {
    return new uPlot(
      {
        ...size_of("surprise_plot"),
        legend: { show: false },
        cursor: { show: false },
        padding: [4, 4, 0, 0],
        scales: { x: { time: false, range: [-SURPRISES, 0] }, y: { range: (_, low, high) => [0, 1.08 * Math.max(high ?? 1, 1)] } },
        axes: [{ show: false }, axis(34, { space: 18 })],
        series: [
          {},
          { stroke: MEASURED, width: 1.5, points: { show: false } },
          { stroke: BAD, width: 0, points: { show: true, size: 6, fill: BAD } },
          { stroke: "#dbe1e9", width: 1.5, dash: [6, 4], points: { show: false } },
        ],
      },
      [[], [], [], []],
      element("surprise_plot"),
    );
  }
}

function size_of(id) {
  const { clientWidth, clientHeight } = element(id);
  return { width: Math.max(100, clientWidth), height: Math.max(40, clientHeight) };
}
