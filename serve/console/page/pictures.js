// SPDX-License-Identifier: Apache-2.0
// The cameras, composed as the model sees them, and in the same composition the frame that was
// predicted for that moment; below, all frames of the newest prediction.
const element = (id) => document.getElementById(id);
const WIDTH = 768; // pixels of the canvases
const ANSWERED = 30; // s for which the boxes of an answer stay
const SURPRISED = 1; // s for which the places of a surprise stay
const SCENE = "#f0a35b", ANSWER = "#4fbf87";

// The newest pictures of one kind. What comes while others are decoded waits, and only the newest of
// it: a slow machine leaves some out, never lags, and never keeps what is drawn beside waiting.
class Newest {
  constructor(done) {
    this.done = done; // called when other pictures are there
    this.frames = []; // null for one that is broken
    this.value = {}; // what came with them
  }

  async take(value, files) {
    this.waiting = { value, files };
    if (this.decoding) return;
    this.decoding = true;
    while (this.waiting) {
      const { value, files } = this.waiting;
      this.waiting = null;
      const frames = [];
      for (const file of files) frames.push(await createImageBitmap(file).catch(() => null));
      for (const old of this.frames) old?.close();
      Object.assign(this, { frames, value });
      this.done();
    }
    this.decoding = false;
  }
}

export class Pictures {
  constructor() {
    this.kinds = {}; // Newest by kind: "future", and "view NAME" for each camera
    this.seen = element("seen").getContext("2d");
    this.predicted = element("predicted").getContext("2d");
    this.strip = element("strip").getContext("2d");
  }

  draw(state, fresh) {
    const { values, files } = state;
    if (fresh.robot) this.lay_out(values.robot);
    for (const kind of Object.keys(fresh).filter((one) => files[one])) {
      this.kinds[kind] ??= new Newest(() => this.draw_soon(state));
      this.kinds[kind].take(values[kind], files[kind]);
    }
    if (fresh.scene || fresh.answer || fresh.robot) this.draw_soon(state);
  }

  // Once for all that was decoded since the last frame of the page.
  draw_soon(state) {
    if (this.frame_request || !this.panels) return;
    this.frame_request = requestAnimationFrame(() => {
      this.frame_request = 0;
      this.draw_seen(state);
      this.draw_predicted(state);
    });
  }

  lay_out({ panels, composite, content }) {
    const [height, width] = composite;
    this.scale = WIDTH / width;
    this.panels = panels;
    this.content = content;
    for (const context of [this.seen, this.predicted]) {
      context.canvas.width = WIDTH;
      context.canvas.height = Math.round(height * this.scale);
    }
  }

  draw_seen({ values, now }) {
    const { seen, scale } = this;
    seen.fillStyle = "#0e1116";
    seen.fillRect(0, 0, seen.canvas.width, seen.canvas.height);
    for (const { view, left, top, width, height } of this.panels) {
      const picture = this.kinds[`view ${view}`]?.frames[0];
      const place = [left * scale, top * scale, width * scale, height * scale];
      if (picture) seen.drawImage(picture, ...place);
      if (values.scene?.view === view) draw_boxes(seen, values.scene.boxes, place, SCENE);
      const { answer } = values;
      if (answer?.view === view && now() - answer.stamp < ANSWERED) draw_boxes(seen, answer.boxes, place, ANSWER);
      label(seen, picture ? view : `${view}: no picture`, place);
    }
    if (values.surprise && Math.abs(now() - values.surprise.stamp) < SURPRISED) draw_surprise(seen, values.surprise);
  }

  draw_predicted(state) {
    const { predicted, strip } = this;
    const { frames, value: future } = this.kinds.future ?? { frames: [] };
    predicted.fillStyle = "#0e1116";
    predicted.fillRect(0, 0, predicted.canvas.width, predicted.canvas.height);
    if (!frames.length) {
      element("due").textContent = "nothing yet";
      return;
    }
    // of the moment that is seen beside it
    const stamps = this.panels.map(({ view }) => this.kinds[`view ${view}`]?.value.stamp ?? 0);
    const moment = Math.max(...stamps) || state.now();
    const place = (moment - future.stamp) / future.step;
    const k = Math.min(Math.max(Math.round(place), 0), frames.length - 1);
    const late = moment - future.stamp - k * future.step;
    const frame = frames[k];
    // the padding at the right and bottom is not part of the composition
    if (frame) {
      const [rows, columns] = [Math.min(this.content[0], frame.height), Math.min(this.content[1], frame.width)];
      predicted.drawImage(frame, 0, 0, columns, rows, 0, 0, predicted.canvas.width, predicted.canvas.height);
    }
    if (late > 0.3) {
      predicted.fillStyle = "rgba(14, 17, 22, 0.55)";
      predicted.fillRect(0, 0, predicted.canvas.width, predicted.canvas.height);
    }
    element("due").textContent =
      Math.abs(late) <= 0.3 ? `for this moment, ${(moment - future.stamp).toFixed(1)} s before` : `was for ${late.toFixed(1)} s ago`;
    if (k !== this.due || frames !== this.frames) this.draw_strip(strip, frames, k);
    [this.due, this.frames] = [k, frames];
  }

  draw_strip(strip, frames, due) {
    const first = frames.find(Boolean);
    if (!first) return;
    const height = 100;
    const width = Math.round((height * this.content[1]) / this.content[0]);
    strip.canvas.height = height;
    strip.canvas.width = Math.max(1, frames.length * (width + 6));
    frames.forEach((frame, k) => {
      if (frame) strip.drawImage(frame, 0, 0, this.content[1], this.content[0], k * (width + 6), 0, width, height);
      strip.lineWidth = 6;
      strip.strokeStyle = "#5aa9f8";
      if (k === due) strip.strokeRect(k * (width + 6) + 3, 3, width - 6, height - 6);
    });
  }
}

function label(context, text, [left, top]) {
  context.font = "17px system-ui, sans-serif";
  context.fillStyle = "rgba(14, 17, 22, 0.6)";
  context.fillRect(left, top, context.measureText(text).width + 14, 26);
  context.fillStyle = "#dbe1e9";
  context.fillText(text, left + 7, top + 19);
}

// Places of the composition that were not as predicted, the more so the redder.
function draw_surprise(context, { rows, columns, grid }) {
  const [width, height] = [context.canvas.width / columns, context.canvas.height / rows];
  grid.forEach((value, k) => {
    if (!(value >= 1)) return;
    context.fillStyle = `rgba(229, 72, 77, ${Math.min(0.6, 0.25 * value)})`;
    context.fillRect((k % columns) * width, Math.floor(k / columns) * height, width, height);
  });
}

function draw_boxes(context, boxes, [left, top, width, height], color) {
  context.strokeStyle = color;
  context.lineWidth = 3;
  for (const box of boxes) {
    const place = [left + box.left * width, top + box.top * height];
    context.strokeRect(...place, (box.right - box.left) * width, (box.bottom - box.top) * height);
    label(context, box.label, place);
  }
}
