// SPDX-License-Identifier: Apache-2.0
// The page pulls: it asks for what is new when it has the last, and draws the newest, so that it never lags.
// Values do not wait for pictures: those are asked for when the last ones are drawn.
import { Charts } from "./charts.js";
import { Controls } from "./controls.js";
import { Pictures } from "./pictures.js";
import { Words } from "./words.js";

const PERIOD = 66; // ms between two questions at least
const UNSEEN = 1000; // ms without a drawing after which it asks no more
const RETRY = 1000; // ms until it tries to connect again
const JUMP = 2; // s by which a clock that was set is off
const heard = {}; // by kind: when the last came, ms
const state = { values: {}, files: {} }; // by kind; files: JPEGs, ArrayBuffers that pictures.js decodes beside
const clock = { heard: [], anchor: null, rate: 1 }; // heard, anchor: [the robot's s, this page's s]
const pictures = new Pictures();
const parts = [new Words(), new Controls(), pictures, new Charts()];
let fresh = null; // what came since the last drawing
let since = 0; // when the first of it did
let after = null; // what waits for the drawing

// The robot comes last: without WebGL, or with a broken description, everything else lives.
import("./robot.js").then(({ RobotView }) => parts.push(new RobotView())).catch((error) => {
  const note = document.createElement("div");
  note.className = "none";
  const why = /webgl/i.test(error.message) ? "this browser has no WebGL for it. All else works" : error.message;
  note.textContent = `no 3-D view here: ${why}`;
  document.getElementById("stage").replaceChildren(note);
});

// Seconds on the robot's clock now.
state.now = () => {
  if (!clock.anchor) return 0;
  const [then, at] = clock.anchor;
  return then + clock.rate * (performance.now() / 1000 - at);
};

// Seconds since something of a kind came, by this page's clock; Infinity: nothing has.
state.age = (kind) => (performance.now() - (heard[kind] ?? -Infinity)) / 1000;

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

function draw(values) {
  for (const part of parts) {
    try {
      part.draw(state, values);
    } catch (error) {
      console.error(error);
    }
  }
  const stamp = state.values.joints?.stamp;
  if (stamp) document.body.dataset.stamp = stamp;
}

// With the page's next frame, all at once: the browser puts the whole page together for each, which
// costs more than any part where the processor does it.
state.draw_soon = (values = {}) => {
  if (!fresh) {
    since = performance.now();
    requestAnimationFrame(() => {
      const [values, then] = [fresh, after];
      fresh = after = null;
      draw(values);
      then?.();
    });
  }
  fresh = { ...fresh, ...values };
};

function show_connection(kind, text) {
  document.body.dataset.connection = kind;
  document.getElementById("link").textContent = text;
}

function connect() {
  const socket = new WebSocket(`ws://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  let waiting = null; // the message whose pictures are coming
  let pieces = [];
  let asked = 0;

  const ask = () => {
    if (socket.readyState !== WebSocket.OPEN) return;
    asked = performance.now();
    socket.send(pictures.drawn ? "next" : "values");
  };

  // The next question does not wait for the drawing: what is drawn is what was so a moment ago, also
  // where a drawing takes long. A page that nobody sees is not drawn, and stops asking.
  const ask_soon = () => {
    if (fresh && performance.now() - since > UNSEEN) after = ask_soon;
    else setTimeout(ask, Math.max(0, PERIOD - (performance.now() - asked)));
  };

  const take = ({ values, pictures }) => {
    for (const [kind, count] of Object.entries(pictures)) state.files[kind] = pieces.splice(0, count);
    Object.assign(state.values, values);
    for (const kind of Object.keys(values)) heard[kind] = performance.now();
    if (values.now !== undefined) hear_clock(values.now);
    state.draw_soon(values);
    ask_soon();
  };

  socket.onopen = () => {
    show_connection("open", "connected");
    ask();
  };
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") {
      waiting = JSON.parse(data);
      pieces = [];
    } else {
      pieces.push(data);
    }
    const due = Object.values(waiting.pictures).reduce((sum, count) => sum + count, 0);
    if (pieces.length === due) take(waiting);
  };
  socket.onclose = async () => {
    state.values = {};
    clock.anchor = null;
    if (fresh) fresh = {}; // what it said last is forgotten
    draw({});
    show_connection("closed", "disconnected");
    const answer = await fetch("/", { method: "GET" }).catch(() => null);
    if (answer?.status === 401) show_connection("closed", "the console was started anew: open its new link");
    setTimeout(connect, RETRY);
  };
}

history.replaceState(null, "", "/"); // the token stays in the cookie alone
connect();
