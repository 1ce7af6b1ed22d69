// SPDX-License-Identifier: Apache-2.0
// The robot as measured; as a ghost, where the newest chunk ends; the path of its tool, played and
// to come; and where the tool has been.
import { BufferGeometry, Color, CylinderGeometry, DirectionalLight, Float32BufferAttribute, GridHelper, Group, HemisphereLight,
  Line, LineBasicMaterial, LoadingManager, Mesh, MeshStandardMaterial, Object3D, OrbitControls, PerspectiveCamera, Scene,
  STLLoader, URDFLoader, Box3, Vector3, WebGLRenderer } from "./vendor.js";

const TRAIL = 20; // s
const LEAST = 66; // ms between two pictures
const LEAST_SOFTWARE = 250; // the same, where the processor draws them: the page has other things to do
const SHARE = 0.2; // of the time that drawing may take
const FADE = 1000; // ms more for a robot that is still, whose trail fades
const STILL = 5e-4; // rad or m by which nothing is seen to move
const PLAYED = new Color("#44505f"), AHEAD = new Color("#7fd1c7"), DONE = new Color("#c58af9"), PAPER = new Color("#161a21");
const stage = document.getElementById("stage");

Object3D.DEFAULT_UP.set(0, 0, 1);

export class RobotView {
  constructor() {
    const software = draws_in_software();
    this.least = software ? LEAST_SOFTWARE : LEAST;
    this.renderer = new WebGLRenderer({ antialias: !software }); // throws without WebGL
    this.renderer.setPixelRatio(software ? 1 : Math.min(devicePixelRatio, 2));
    this.scene = new Scene();
    this.scene.background = PAPER;
    this.camera = new PerspectiveCamera(38, 1, 0.01, 50);
    this.camera.position.set(1.7, -1.25, 1.15);
    this.orbit = new OrbitControls(this.camera, this.renderer.domElement);
    this.orbit.target.set(0.25, 0, 0.38);
    this.orbit.addEventListener("change", () => this.render());
    const sun = new DirectionalLight(0xffffff, 2.2);
    sun.position.set(1.5, -2, 3);
    const grid = new GridHelper(3, 15, 0x39424f, 0x252b35);
    grid.rotation.x = Math.PI / 2;
    this.path = line(0.95);
    this.trail = line(0.9);
    this.scene.add(new HemisphereLight(0xdfe8f5, 0x30343c, 1.6), sun, grid, this.path, this.trail);
    this.places = []; // [time, x, y, z] of the tool
    this.posed = {}; // joints as they are drawn
    this.changed = true; // since the last picture
    this.next = 0; // when another may be drawn
    stage.replaceChildren(this.renderer.domElement);
    new ResizeObserver(() => this.resize()).observe(stage);
    this.resize();
  }

  resize() {
    const [width, height] = [Math.max(1, stage.clientWidth), Math.max(1, stage.clientHeight)];
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.renderer.setSize(width, height);
    this.render();
  }

  async load() {
    const text = await (await fetch("/robot/urdf")).text();
    this.robot = build(text, null, () => this.fit());
    this.ghost = build(text, new MeshStandardMaterial({ color: 0x7fd1c7, transparent: true, opacity: 0.3, depthWrite: false }), () => (this.changed = true));
    this.ghost.visible = false;
    this.robot.visible = false; // until it is known where its joints are
    this.scene.add(this.robot, this.ghost);
    stage.dataset.links = Object.keys(this.robot.links).length;
  }

  fit() {
    const box = new Box3().setFromObject(this.robot);
    if (box.isEmpty()) return;
    const size = box.getSize(new Vector3()).length();
    const middle = box.getCenter(new Vector3());
    this.orbit.target.set(middle.x, middle.y, Math.max(0.5 * middle.z, middle.z - 0.14 * size));
    this.camera.position.copy(this.orbit.target).add(new Vector3(1.05, -0.85, 0.55).multiplyScalar(1.06 * size));
    this.orbit.update();
    stage.dataset.loaded = "true";
    this.render();
  }

  draw(state, fresh) {
    const { values } = state;
    this.tool_frame = values.robot?.tool;
    if (values.model !== undefined && !this.loading) {
      this.loading = this.load().catch((error) => note(`the robot description cannot be shown: ${error.message}`));
    }
    if (values.model === undefined && !this.robot && !stage.querySelector(".none")) {
      note("no robot description: `urdf` in the robot file, or the topic /robot_description, shows the robot here");
    }
    if (!this.robot) return;
    const chunk = values.chunk;
    if (fresh.joints || (values.joints && !this.place)) this.move(values.joints);
    if (fresh.chunk || (chunk && !this.row_places)) this.trace(chunk);
    const visible = Boolean(chunk) && (is_played(values) || state.now() <= chunk.stamp + chunk.duration + 0.5);
    this.changed ||= visible !== this.ghost.visible;
    this.ghost.visible = this.path.visible = visible;
    if (visible) this.color_path(state);
    if (this.is_drawing() || performance.now() < this.next + (this.changed ? 0 : FADE)) return;
    this.draw_trail(values.joints?.stamp ?? 0);
    // m from the tool to where the chunk brings it
    stage.dataset.ahead = visible ? this.place?.distanceTo(this.row_places.at(-1)).toFixed(3) : "0";
    this.render();
  }

  move({ stamp, positions }) {
    const known = Object.entries(positions).filter(([, value]) => value !== null);
    if (known.some(([name, value]) => !(Math.abs(value - this.posed[name]) < STILL))) {
      this.posed = Object.fromEntries(known);
      for (const [name, value] of known) this.robot.setJointValue(name, value);
      this.place = this.tool(this.robot);
      this.robot.visible = this.changed = true;
      stage.dataset.posed = stamp;
    }
    if (this.place) this.add_place(stamp);
  }

  // The tool: the middle of the ends of the tree, which are the finger tips of a gripper.
  tool(robot) {
    const place = new Vector3();
    const named = robot.links[this.tool_frame];
    if (named) return named.getWorldPosition(place);
    const ends = (robot.ends ??= ends_of(robot));
    const sum = new Vector3();
    for (const link of ends) sum.add(link.getWorldPosition(place));
    return sum.divideScalar(ends.length);
  }

  add_place(stamp) {
    if (this.places.length && stamp < this.places.at(-1)[0]) this.places = [];
    this.places.push([stamp, ...this.place.toArray()]);
    while (this.places[0][0] < stamp - TRAIL) this.places.shift();
  }

  // Where the tool is at each row of a chunk; the ghost stays at the last one.
  trace(chunk) {
    if (!chunk) return;
    const rows = Object.values(chunk.rows)[0].length;
    this.row_places = [];
    for (let row = 0; row < rows; row++) {
      for (const [name, values] of Object.entries(chunk.rows)) {
        if (values[row] !== null) this.ghost.setJointValue(name, values[row]);
      }
      this.row_places.push(this.tool(this.ghost));
    }
    this.played = -1;
    this.changed = true;
  }

  color_path({ values, now }) {
    const { status, chunk } = values;
    if (!this.row_places || !chunk) return;
    // rows count from where the commander began them, which a chunk at rest has later
    const begin = status && status.chunk === chunk.number && status.begin > 0 ? status.begin : chunk.stamp;
    const played = this.row_places.filter((_, row) => begin + (row + 1) * chunk.step < now()).length;
    if (played === this.played) return;
    this.played = played;
    this.changed = true;
    const colors = this.row_places.map((_, row) => (row < played ? PLAYED : AHEAD).toArray());
    fill(this.path, this.row_places.map((place) => place.toArray()), colors);
  }

  draw_trail(end) {
    const colors = this.places.map(([time]) => PAPER.clone().lerp(DONE, Math.max(0.05, 1 - (end - time) / TRAIL)).toArray());
    fill(this.trail, this.places.map(([, ...place]) => place), colors);
  }

  render() {
    const gl = this.renderer.getContext();
    this.renderer.render(this.scene, this.camera);
    this.changed = false;
    this.began = performance.now();
    this.next = this.began + this.least;
    if (this.fence) gl.deleteSync(this.fence);
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  }

  // Whether the last picture is not finished; how long it took says when there may be another.
  is_drawing() {
    const gl = this.renderer.getContext();
    if (!this.fence) return false;
    if (gl.getSyncParameter(this.fence, gl.SYNC_STATUS) === gl.UNSIGNALED) return true;
    gl.deleteSync(this.fence);
    this.fence = null;
    this.next = Math.max(this.next, this.began + (performance.now() - this.began) / SHARE);
    return false;
  }
}

// A chunk that came late, or is slowed down, is played beyond its time.
function is_played({ status, chunk }) {
  return status?.mode === "playing" && status.chunk === chunk.number;
}

function draws_in_software() {
  const context = document.createElement("canvas").getContext("webgl2");
  const names = context?.getExtension("WEBGL_debug_renderer_info");
  const name = context?.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : context.RENDERER) ?? "";
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

function note(text) {
  const box = document.createElement("div");
  box.className = "none";
  box.textContent = text;
  stage.append(box);
}

function line(opacity) {
  const made = new Line(new BufferGeometry(), new LineBasicMaterial({ vertexColors: true, transparent: true, opacity }));
  made.frustumCulled = false;
  return made;
}

function fill(made, places, colors) {
  made.geometry.dispose();
  made.geometry = new BufferGeometry();
  made.geometry.setAttribute("position", new Float32BufferAttribute(places.flat(), 3));
  made.geometry.setAttribute("color", new Float32BufferAttribute(colors.flat(), 3));
}

// material: of all its shapes, else each has its own. loaded: called when shapes have come.
function build(text, material, loaded) {
  const manager = new LoadingManager(loaded);
  const loader = new URDFLoader(manager);
  const fallback = loader.loadMeshCb;
  const paint_over = (shape) => material && shape?.traverse((one) => one.isMesh && (one.material = material));
  loader.loadMeshCb = (path, files, paint, done) => {
    const came = (shape, error) => {
      done(shape, error);
      paint_over(shape);
      if (material) setTimeout(loaded); // a file that another robot loads already is none of this manager's
    };
    if (!path.endsWith(".stl")) return fallback(path, files, paint, came);
    return new STLLoader(files).load(path, (shape) => came(new Mesh(shape, paint)), null, (error) => came(null, error));
  };
  manager.itemStart("urdf");
  const robot = loader.parse(text, "/robot/");
  const has_shapes = Object.values(robot.visual ?? {}).length > 0;
  if (!has_shapes) add_bones(robot);
  paint_over(robot);
  manager.onLoad = () => setTimeout(loaded); // after this function, also where there is nothing to wait for
  manager.itemEnd("urdf");
  return robot;
}

// A description without shapes: a bone from each link to the joints that it carries.
function add_bones(robot) {
  const paint = new MeshStandardMaterial({ color: 0xc9d2de, roughness: 0.6 });
  for (const joint of Object.values(robot.joints)) {
    const way = joint.position.clone();
    if (way.length() < 0.005) continue;
    const bone = new Mesh(new CylinderGeometry(0.02, 0.028, way.length(), 16), paint);
    const turn = new Group();
    turn.quaternion.setFromUnitVectors(new Vector3(0, 1, 0), way.clone().normalize());
    turn.position.copy(way.multiplyScalar(0.5));
    turn.add(bone);
    joint.parent.add(turn);
  }
}

function ends_of(robot) {
  const parents = new Set(Object.values(robot.joints).map((joint) => joint.parent));
  const ends = Object.values(robot.links).filter((link) => !parents.has(link) && link !== robot);
  return ends.length ? ends : Object.values(robot.links).slice(-1);
}
