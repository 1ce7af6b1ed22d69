// SPDX-License-Identifier: Apache-2.0
// The page pulls: it asks for what is new when it has drawn the last, so that it never lags.
import { Charts } from "./charts.js";
import { Controls } from "./controls.js";
import { decoded, Pictures } from "./pictures.js";
import { Words } from "./words.js";

const PERIOD = 40; // ms between two questions at least
const RETRY = 1000; // ms until it tries to connect again
const JUMP = 2; // s by which a clock that was set is off
const FUTURE = "future"; // its frames are many and one of them is due: pictures.js decodes them beside
const state = { values: {}, pictures: {}, future: null };
const clock = { heard: [], anchor: null, rate: 1 }; // heard, anchor: [the robot's s, this page's s]
const parts = [new Words(), new Controls(), new Pictures(), new Charts()];

// The robot comes last: without WebGL, or with a broken description, everything else lives.
import("./robot.js").then(({ RobotView }) => parts.push(new RobotView())).catch((error) => {
  const note = document.createElement("div");
  note.className = "none";
  note.textContent = `no 3-D view here: ${error.message}`;
  document.getElementById("stage").replaceChildren(note);
});

// Seconds on the robot's clock now.
state.now = () => {
  if (!clock.anchor) return 0;
  const [then, at] = clock.anchor;
  return then + clock.rate * (performance.now() / 1000 - at);
};

// Seconds on the robot's clock in one of this page's; 1 but for slow simulations.
state.rate = () => clock.rate;

// Messages take some time: the quickest are believed. A simulation may have a slower clock.
function hear_clock(now) {
  const here = [now, performance.now() / 1000];
  if (!clock.anchor || Math.abs(now - state.now()) > JUMP) Object.assign(clock, { heard: [], anchor: here, rate: 1 });
  const ahead = now - state.now();
  clock.heard = [...clock.heard.slice(-15), here];
  const [then, at] = clock.heard[0];
  const rate = here[1] - at > 2 ? (now - then) / (here[1] - at) : 1;
  clock.rate = Math.abs(rate - 1) < 0.1 ? 1 : Math.max(rate, 0);
  // falls slowly, so that a clock that runs a little differently is followed
  const fallen = clock.rate === 1 ? Math.max(ahead, -0.001) : ahead;
  clock.anchor = [now - ahead + fallen, here[1]];
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
    const came = Object.entries(pictures).map(([kind, count]) => [kind, blobs.splice(0, count)]);
    for (const [kind, files] of came) {
      if (kind === FUTURE) {
        state.future = { ...values.future, files };
        continue;
      }
      const bitmaps = await Promise.all(files.map(decoded));
      for (const old of state.pictures[kind] ?? []) old?.close();
      state.pictures[kind] = bitmaps;
    }
    if (socket.readyState !== WebSocket.OPEN) return; // closed meanwhile: what it said is forgotten
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
    clock.anchor = null;
    draw({});
    show_connection("closed", "disconnected");
    const answer = await fetch("/", { method: "GET" }).catch(() => null);
    if (answer?.status === 401) show_connection("closed", "the console was started anew: open its new link");
    setTimeout(connect, RETRY);
  };
}

history.replaceState(null, "", "/"); // the token stays in the cookie alone
connect();
