// SPDX-License-Identifier: Apache-2.0
// The page pulls: it asks for what is new when it has drawn the last, so that it never lags.
import { Charts } from "./charts.js";
import { Controls } from "./controls.js";
import { Pictures } from "./pictures.js";
import { Words } from "./words.js";

const PERIOD = 40; // ms between two questions at least
const RETRY = 1000; // ms until it tries to connect again
const state = { values: {}, pictures: {}, offset: null };
const parts = [new Words(), new Controls(), new Pictures(), new Charts()];

// The robot comes last: without WebGL, or with a broken description, everything else lives.
import("./robot.js").then(({ RobotView }) => parts.push(new RobotView())).catch((error) => {
  const note = document.createElement("div");
  note.className = "none";
  note.textContent = `no 3-D view here: ${error.message}`;
  document.getElementById("stage").replaceChildren(note);
});

// Seconds on the robot's clock now: its messages take some time, the quickest are believed.
state.now = () => (state.offset === null ? 0 : performance.now() / 1000 + state.offset);

function hear_clock(now) {
  const offset = now - performance.now() / 1000;
  const jumped = state.offset === null || Math.abs(offset - state.offset) > 2;
  // falls slowly, so that a clock that runs differently is followed
  state.offset = jumped ? offset : Math.max(offset, state.offset - 0.001);
}

function draw(fresh) {
  for (const part of parts) {
    try {
      part.draw(state, fresh);
    } catch (error) {
      console.error(error);
    }
  }
  const stamp = state.values.joints?.stamp;
  if (stamp) document.body.dataset.stamp = stamp;
}

function show_connection(kind, text) {
  document.body.dataset.connection = kind;
  document.getElementById("link").textContent = text;
}

function connect() {
  const socket = new WebSocket(`ws://${location.host}/socket`);
  socket.binaryType = "blob";
  let waiting = null; // the message whose pictures are coming
  let blobs = [];
  let asked = 0;

  const ask = () => {
    if (socket.readyState !== WebSocket.OPEN) return;
    asked = performance.now();
    socket.send("next");
  };

  const take = async ({ values, pictures }) => {
    const bitmaps = await Promise.all(blobs.map((blob) => createImageBitmap(blob).catch(() => null)));
    if (socket.readyState !== WebSocket.OPEN) return; // closed meanwhile: what it said is forgotten
    for (const [kind, count] of Object.entries(pictures)) {
      for (const old of state.pictures[kind] ?? []) old?.close();
      state.pictures[kind] = bitmaps.splice(0, count);
    }
    Object.assign(state.values, values);
    if (values.now !== undefined) hear_clock(values.now);
    requestAnimationFrame(() => {
      if (socket.readyState !== WebSocket.OPEN) return;
      draw(values);
      setTimeout(ask, Math.max(0, PERIOD - (performance.now() - asked)));
    });
  };

  socket.onopen = () => {
    show_connection("open", "connected");
    ask();
  };
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") {
      waiting = JSON.parse(data);
      blobs = [];
    } else {
      blobs.push(data);
    }
    const due = Object.values(waiting.pictures).reduce((sum, count) => sum + count, 0);
    if (blobs.length === due) take(waiting);
  };
  socket.onclose = async () => {
    state.values = {};
    state.offset = null;
    draw({});
    show_connection("closed", "disconnected");
    const answer = await fetch("/", { method: "GET" }).catch(() => null);
    if (answer?.status === 401) show_connection("closed", "the console was started anew: open its new link");
    setTimeout(connect, RETRY);
  };
}

history.replaceState(null, "", "/"); // the token stays in the cookie alone
connect();
