// SPDX-License-Identifier: Apache-2.0
// The cameras, composed as the model sees them, and in the same composition the frame that was
// predicted for that moment; below, all frames of the newest prediction.
const element = (id) => document.getElementById(id);
const MOST = 768; // pixels of the canvases' width at most
const STRIP = 50; // CSS pixels of the strip's height, as in style.css
const ANSWERED = 30; // s for which the boxes of an answer stay
const SURPRISED = 1; // s for which the places of a surprise stay, which comes later than what it is about
const SCENE = "#f0a35b", ANSWER = "#4fbf87";

// A JPEG's bytes as a picture, decoded beside this thread; null for one that is broken. As blobs they would go
// through another process of the browser, which keeps a slow one busier than drawing them.
async function decoded(bytes) {
  try {
    if (!globalThis.ImageDecoder) return await createImageBitmap(new Blob([bytes]));
    const decoder = new ImageDecoder({ data: bytes, type: "image/jpeg" });
    const { image } = await decoder.decode();
    decoder.close();
    return image;
  } catch {
    return null;
  }
}

// The newest pictures of one kind. What comes while others are decoded or wait to be drawn waits, and
// only the newest of it: a slow machine leaves some out, never lags, and never keeps what is drawn beside waiting.
class Newest {
  constructor(done) {
    this.done = done; // called when other pictures are there; resolved when they are drawn
    this.busy = false; // with what is decoded or waits to be drawn
    this.frames = []; // null for one that is broken
    this.value = {}; // what came with them
  }

  async take(value, files) {
    this.waiting = { value, files };
    if (this.busy) return;
    this.busy = true;
    while (this.waiting) {
      const { value, files } = this.waiting;
      this.waiting = null;
      const frames = [];
      for (const file of files) frames.push(await decoded(file));
      for (const old of this.frames) old?.close();
      Object.assign(this, { frames, value });
      await this.done();
    }
    this.busy = false;
  }
}

export class Pictures {
  constructor() {
    this.kinds = {}; // Newest by kind: "future", and "view NAME" for each camera
    const opaque = { alpha: false };
    this.seen = element("seen").getContext("2d", opaque);
    this.predicted = element("predicted").getContext("2d", opaque);
    this.strip = element("strip").getContext("2d");
    this.shown = {}; // what the canvases show of the prediction
    new ResizeObserver(() => this.lay_out()).observe(element("seen"));
  }

  // Whether what the cameras showed last is drawn, and more is wanted.
  get drawn() {
    return !Object.entries(this.kinds).some(([kind, newest]) => newest.busy && kind !== "future");
  }

  draw(state, fresh) {
    const { values, files } = state;
    this.state = state;
    if (fresh.robot) this.lay_out();
    for (const kind of Object.keys(fresh).filter((one) => files[one])) {
      this.kinds[kind] ??= new Newest(() => this.draw_soon());
      this.kinds[kind].take(values[kind], files[kind]);
    }
    if (fresh.scene || fresh.answer || fresh.surprise) this.stale ??= Promise.withResolvers();
    if (this.stale && this.panels) this.draw_now();
  }

  // With the next frame of the page, which it resolves with.
  draw_soon() {
    this.stale ??= Promise.withResolvers();
    this.state.draw_soon();
    return this.stale.promise;
  }

  draw_now() {
    const done = this.stale?.resolve;
    this.stale = null;
    this.draw_seen(this.state);
    this.draw_predicted(this.state);
    done?.();
  }

  // As many pixels as are shown: more would only be drawn.
  lay_out() {
    const { robot } = this.state?.values ?? {};
    if (!robot) return;
    const [height, width] = robot.composite;
    const { clientWidth, clientHeight } = this.seen.canvas;
    const shown = Math.min(clientWidth, (clientHeight * width) / height) * devicePixelRatio;
    this.scale = Math.max(1, Math.min(MOST, Math.round(shown))) / width;
    this.panels = robot.panels;
    this.content = robot.content;
    for (const { canvas } of [this.seen, this.predicted]) {
      canvas.width = Math.round(width * this.scale);
      canvas.height = Math.round(height * this.scale);
    }
    this.shown = {};
    this.draw_now();
  }

  draw_seen({ values, now, age }) {
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
    if (age("surprise") < SURPRISED) draw_surprise(seen, values.surprise);
  }

  draw_predicted(state) {
    const { frames, value: future } = this.kinds.future ?? { frames: [] };
    if (!frames.length) {
      this.show_predicted(null, false);
      element("due").textContent = "nothing yet";
      return;
    }
    // of the moment that is seen beside it
    const stamps = this.panels.map(({ view }) => this.kinds[`view ${view}`]?.value.stamp ?? 0);
    const moment = Math.max(...stamps) || state.now();
    const place = (moment - future.stamp) / future.step;
    const k = Math.min(Math.max(Math.round(place), 0), frames.length - 1);
    const late = moment - future.stamp - k * future.step;
    this.show_predicted(frames[k], late > 0.3);
    element("due").textContent =
      Math.abs(late) <= 0.3 ? `for this moment, ${(moment - future.stamp).toFixed(1)} s before` : `was for ${late.toFixed(1)} s ago`;
    this.draw_strip(frames, k);
  }

  // The frame, dimmed if its moment is over; nothing if that is what the canvas shows.
  show_predicted(frame, over) {
    const { predicted, shown } = this;
    if (frame === shown.frame && over === shown.over) return;
    Object.assign(shown, { frame, over });
    const { width, height } = predicted.canvas;
    predicted.fillStyle = "#0e1116";
    predicted.fillRect(0, 0, width, height);
    if (!frame) return;
    // the padding at the right and bottom is not part of the composition
    const [high, wide] = [frame.displayHeight ?? frame.height, frame.displayWidth ?? frame.width];
    const [rows, columns] = [Math.min(this.content[0], high), Math.min(this.content[1], wide)];
    predicted.drawImage(frame, 0, 0, columns, rows, 0, 0, width, height);
    if (!over) return;
    predicted.fillStyle = "rgba(14, 17, 22, 0.55)";
    predicted.fillRect(0, 0, width, height);
  }

  // All frames of a prediction, and which is due: of one that is drawn, only what has changed.
  draw_strip(frames, due) {
    const { strip, shown } = this;
    const [rows, columns] = this.content;
    const height = Math.round(STRIP * devicePixelRatio);
    const width = Math.round((height * columns) / rows);
    const space = Math.round(3 * devicePixelRatio);
    let changed = [shown.due, due];
    if (frames !== shown.frames) {
      strip.canvas.height = height;
      strip.canvas.width = Math.max(1, frames.length * (width + space));
      changed = frames.keys();
    } else if (due === shown.due) {
      return;
    }
    Object.assign(shown, { frames, due });
    for (const k of changed) {
      const left = k * (width + space);
      if (frames[k]) strip.drawImage(frames[k], 0, 0, columns, rows, left, 0, width, height);
      else strip.clearRect(left, 0, width, height);
      strip.lineWidth = space;
      strip.strokeStyle = "#5aa9f8";
      if (k === due) strip.strokeRect(left + space / 2, space / 2, width - space, height - space);
    }
  }
}

function label(context, text, [left, top]) {
  const size = Math.round(10 * devicePixelRatio);
  context.font = `${size}px system-ui, sans-serif`;
  context.fillStyle = "rgba(14, 17, 22, 0.6)";
  context.fillRect(left, top, context.measureText(text).width + 0.8 * size, 1.5 * size);
  context.fillStyle = "#dbe1e9";
  context.fillText(text, left + 0.4 * size, top + 1.1 * size);
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
  context.lineWidth = 1.5 * devicePixelRatio;
  for (const box of boxes) {
    const place = [left + box.left * width, top + box.top * height];
    context.strokeRect(...place, (box.right - box.left) * width, (box.bottom - box.top) * height);
    label(context, box.label, place);
  }
}
