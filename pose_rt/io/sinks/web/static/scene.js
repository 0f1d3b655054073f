// The people in 3D: skeletons, hypotheses, futures and uncertainty over a floor with a grid of metres. y is up, the camera looks along -z.

import * as THREE from "./vendor/three/three.module.min.js";
import { OrbitControls } from "./vendor/three/OrbitControls.js";

const BODY = "h36m17";
const [NOSE, HEAD] = [9, 10];
const BONE_M = 0.024;
const THIN_M = 0.0045;
const HEAD_M = 0.098;
const LOOK_AT = new THREE.Vector3(0, 0.88, 0);
const DISTANCE_M = 5.6;
const UP = new THREE.Vector3(0, 1, 0);

// Instances of one shape, as many as a frame needs.
class Swarm {
  constructor(parent, geometry, material) {
    [this.parent, this.geometry, this.material] = [parent, geometry, material];
    this.reserve(64);
  }

  reserve(capacity) {
    const mesh = new THREE.InstancedMesh(this.geometry, this.material, capacity);
    mesh.instanceMatrix.setUsage(THREE.DynamicDrawUsage);
    mesh.setColorAt(0, new THREE.Color());
    mesh.frustumCulled = false;
    mesh.count = 0;
    if (this.mesh) {
      mesh.instanceMatrix.array.set(this.mesh.instanceMatrix.array);
      mesh.instanceColor.array.set(this.mesh.instanceColor.array);
      mesh.count = this.mesh.count;
      mesh.renderOrder = this.mesh.renderOrder;
      this.parent.remove(this.mesh);
      this.mesh.dispose();
    }
    this.mesh = mesh;
    this.parent.add(mesh);
  }

  clear() {
    this.mesh.count = 0;
  }

  add(matrix, colour) {
    if (this.mesh.count === this.mesh.instanceMatrix.count) this.reserve(2 * this.mesh.count);
    this.mesh.setMatrixAt(this.mesh.count, matrix);
    this.mesh.setColorAt(this.mesh.count++, colour);
  }

  upload() {
    this.mesh.instanceMatrix.needsUpdate = true;
    this.mesh.instanceColor.needsUpdate = true;
  }
}

export class Scene {
  constructor(canvas, panel) {
    this.canvas = canvas;
    this.panel = panel;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, stencil: true });
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(28, 1, 0.1, 80);
    this.controls = new OrbitControls(this.camera, canvas);
    Object.assign(this.controls, { enableDamping: true, dampingFactor: 0.12, minDistance: 1.2, maxDistance: 30, maxPolarAngle: 1.55 });
    this.controls.addEventListener("change", () => this.wake());
    this.controls.addEventListener("start", () => (this.touched = true));
    this.controls.listenToKeyEvents(canvas);
    this.touched = false;
    this.zoom = this.zoomWanted = 1;
    this.people = new THREE.Group();
    this.scene.add(this.people);
    this.tags = new Map();
    this.dirty = false;
    new ResizeObserver(() => this.fit()).observe(panel);
  }

  // `look` is the server's greeting: colours and skeletons.
  setUp(look) {
    this.look = look;
    this.body = look.skeletons[BODY];
    this.colours = look.sides.map((side) => new THREE.Color(side));
    this.accents = look.accents.map((accent) => new THREE.Color(accent));
    this.ground = new THREE.Color(look.panel);
    if (!this.swarms) this.build();
    this.resetView();
  }

  build() {
    const { scene } = this;
    scene.background = this.ground;
    scene.fog = new THREE.Fog(this.ground, 9, 22);
    scene.add(new THREE.HemisphereLight(0xffffff, 0x3a4250, 1.9));
    const sun = new THREE.DirectionalLight(0xffffff, 2.1);
    sun.position.set(2, 5, 4);
    scene.add(sun, makeFloor(this.ground), makeGrid(this.ground));
    const solid = new THREE.MeshStandardMaterial({ roughness: 0.55, metalness: 0 });
    const glass = (opacity) => new THREE.MeshBasicMaterial({ transparent: true, opacity, depthWrite: false });
    const shade = new THREE.MeshBasicMaterial({
      color: 0x07080a, transparent: true, opacity: 0.42, depthWrite: false,
      stencilWrite: true, stencilFunc: THREE.NotEqualStencilFunc, stencilRef: 1, stencilZPass: THREE.ReplaceStencilOp, // overlaps are no darker
    });
    const cylinder = new THREE.CylinderGeometry(0.85, 1, 1, 14, 1);
    const rod = new THREE.CylinderGeometry(1, 1, 1, 5, 1, true);
    const ball = new THREE.SphereGeometry(1, 20, 14);
    const floor = new THREE.Group();
    floor.scale.y = 0;
    floor.position.y = 0.004;
    this.people.add(floor);
    this.swarms = {
      shadow: new Swarm(floor, new THREE.CylinderGeometry(1, 1, 1, 8, 1), shade),
      shadowBall: new Swarm(floor, new THREE.SphereGeometry(1, 12, 8), shade),
      ring: new Swarm(this.people, new THREE.TorusGeometry(0.42, 0.006, 6, 64).rotateX(Math.PI / 2), glass(0.85)),
      future: new Swarm(this.people, rod, glass(0.62)),
      hypothesis: new Swarm(this.people, rod, glass(0.6)),
      bone: new Swarm(this.people, cylinder, solid),
      ball: new Swarm(this.people, ball, solid),
      sigma: new Swarm(this.people, ball, glass(0.2)),
    };
    this.swarms.sigma.mesh.renderOrder = 2;
  }

  fit() {
    const [width, height] = [this.panel.clientWidth, this.panel.clientHeight];
    if (width < 2 || height < 2) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio || 1, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  resetView() {
    this.touched = false;
    this.place();
    this.wake();
  }

  // Stand where the picture of `pose-rt video` is taken from, as far away as everyone needs.
  place() {
    const [yaw, pitch] = this.look.view.map((deg) => (deg * Math.PI) / 180);
    const away = DISTANCE_M * this.zoom * Math.max(1, 0.86 / this.camera.aspect);
    this.controls.target.copy(LOOK_AT);
    this.camera.position.set(Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)).multiplyScalar(away).add(LOOK_AT);
    this.controls.update();
  }

  show(head, toggles) {
    if (!this.swarms) return;
    this.people.scale.x = toggles.mirror ? -1 : 1;
    Object.values(this.swarms).forEach((swarm) => swarm.clear());
    let reach = 0;
    const several = head.people.length > 1;
    const tagged = new Set();
    for (const person of head.people) {
      if (!person.at || !person.joints) continue;
      reach = Math.max(reach, Math.hypot(person.at[0], person.at[2]) / 1000);
      this.addPerson(person, toggles);
      if (several) this.tag(person, tagged, toggles);
    }
    for (const [id, sprite] of this.tags) {
      if (!tagged.has(id)) {
        this.scene.remove(sprite);
        sprite.material.map.dispose();
        sprite.material.dispose();
        this.tags.delete(id);
      }
    }
    Object.values(this.swarms).forEach((swarm) => swarm.upload());
    this.zoomWanted = 1.2 ** Math.max(0, Math.ceil(Math.log((reach + 0.62) / 1.25) / Math.log(1.2)));
    this.draw();
  }

  addPerson(person, toggles) {
    const { swarms, body, colours } = this;
    const points = place(person.joints, person.at);
    const missing = new Set(person.completed ?? []);
    swarms.ring.add(matrix.makeTranslation(person.at[0] / 1000, 0.006, -person.at[2] / 1000), this.accents[person.id % this.accents.length]);
    body.edges.forEach(([a, b], e) => {
      const colour = colours[body.edgeSide[e]];
      if (a === NOSE && b === HEAD) {
        const middle = new THREE.Vector3().addVectors(points[a], points[b]).multiplyScalar(0.5);
        addBall(swarms.ball, middle, HEAD_M, colour);
        addBall(swarms.ball, points[NOSE], 0.3 * HEAD_M, colour);
        addBall(swarms.shadowBall, middle, HEAD_M, colour);
        return;
      }
      const thickness = missing.has(a) || missing.has(b) ? 0.4 * BONE_M : BONE_M; // not seen, filled in: thin
      addRod(swarms.bone, points[a], points[b], thickness, colour);
      addRod(swarms.shadow, points[a], points[b], 1.3 * BONE_M, colour);
    });
    points.forEach((point, j) => {
      if (j !== HEAD && j !== NOSE) addBall(swarms.ball, point, 1.32 * BONE_M, colours[body.jointSide[j]]);
      if (toggles.uncertainty && person.sigma) addBall(swarms.sigma, point, Math.min(person.sigma[j], 500) / 1000, colours[body.jointSide[j]]);
    });
    if (toggles.hypotheses) {
      for (const hypothesis of person.hypotheses ?? []) if (hypothesis) this.addThin(swarms.hypothesis, place(hypothesis, person.at), 0.25);
    }
    if (toggles.futures) this.addFutures(person);
  }

  // Whole skeletons at a few times and the paths of head, hands and feet, sinking into the room with time.
  addFutures(person) {
    const { swarms, body, colours } = this;
    for (const ghosts of person.ghosts ?? []) {
      ghosts.forEach((ghost, g) => ghost && this.addThin(swarms.future, place(ghost, person.at), 0.45 + (0.3 * g) / Math.max(1, ghosts.length - 1)));
    }
    for (const paths of person.trails ?? []) {
      paths.forEach((path, p) => {
        if (!path) return;
        const joint = this.look.trailJoints[p];
        const points = [...place(person.joints.slice(3 * joint, 3 * joint + 3), person.at), ...place(path, person.at)];
        for (let i = 1; i < points.length; i++) {
          const faded = colours[body.jointSide[joint]].clone().lerp(this.ground, 0.1 + (0.7 * i) / points.length);
          addRod(swarms.future, points[i - 1], points[i], 1.3 * THIN_M, faded);
        }
      });
    }
  }

  addThin(swarm, points, sunk) {
    this.body.edges.forEach(([a, b], e) => {
      addRod(swarm, points[a], points[b], THIN_M, this.colours[this.body.edgeSide[e]].clone().lerp(this.ground, sunk));
    });
  }

  tag(person, tagged, toggles) {
    let sprite = this.tags.get(person.id);
    if (!sprite) {
      sprite = makeTag(String(person.id), this.look.accents[person.id % this.look.accents.length]);
      this.tags.set(person.id, sprite);
      this.scene.add(sprite);
    }
    tagged.add(person.id);
    const top = person.joints[3 * HEAD + 1] + person.at[1];
    sprite.position.set(((toggles.mirror ? -1 : 1) * person.at[0]) / 1000, -top / 1000 + 0.26, -person.at[2] / 1000);
  }

  wake() {
    if (!this.dirty) {
      this.dirty = true;
      requestAnimationFrame(() => {
        this.dirty = false;
        this.draw();
      });
    }
  }

  draw() {
    if (!this.swarms) return;
    if (!this.touched && Math.abs(this.zoom - this.zoomWanted) > 0.002) {
      this.zoom += 0.12 * (this.zoomWanted - this.zoom);
      this.place();
    } else {
      this.controls.update();
    }
    this.renderer.render(this.scene, this.camera);
  }
}

const matrix = new THREE.Matrix4();
const turn = new THREE.Quaternion();
const along = new THREE.Vector3();
const middle = new THREE.Vector3();
const size = new THREE.Vector3();

// Flat millimetres in camera axes (x right, y down, z away), relative to a place in the scene -> points in metres, y up.
function place(values, at) {
  const points = [];
  for (let i = 0; i < values.length; i += 3) {
    points.push(new THREE.Vector3(values[i] + at[0], -(values[i + 1] + at[1]), -(values[i + 2] + at[2])).multiplyScalar(0.001));
  }
  return points;
}

function addRod(swarm, from, to, radius, colour) {
  along.subVectors(to, from);
  const length = along.length();
  if (length < 1e-4) return;
  turn.setFromUnitVectors(UP, along.divideScalar(length));
  middle.addVectors(from, to).multiplyScalar(0.5);
  swarm.add(matrix.compose(middle, turn, size.set(radius, length, radius)), colour);
}

function addBall(swarm, at, radius, colour) {
  swarm.add(matrix.compose(at, turn.identity(), size.setScalar(radius)), colour);
}

function makeFloor(ground) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 256;
  const c = canvas.getContext("2d");
  const light = c.createRadialGradient(128, 128, 0, 128, 128, 128);
  const lit = ground.clone().lerp(new THREE.Color("#ffffff"), 0.035);
  light.addColorStop(0, `#${lit.getHexString()}`);
  light.addColorStop(1, `#${ground.getHexString()}`);
  c.fillStyle = light;
  c.fillRect(0, 0, 256, 256);
  const texture = new THREE.CanvasTexture(canvas);
  texture.colorSpace = THREE.SRGBColorSpace;
  const floor = new THREE.Mesh(new THREE.CircleGeometry(7, 64).rotateX(-Math.PI / 2), new THREE.MeshBasicMaterial({ map: texture, fog: false }));
  floor.renderOrder = -1;
  return floor;
}

// Lines every half metre, the whole metres brighter, all fading with the distance from the middle.
function makeGrid(ground) {
  const [positions, colours] = [[], []];
  const white = new THREE.Color("#ffffff");
  const reach = 7;
  const push = (x, z, strength) => {
    positions.push(x, 0.002, z);
    const fade = Math.max(0, 1 - Math.hypot(x, z) / reach);
    const shade = ground.clone().lerp(white, 0.004 + strength * fade);
    colours.push(shade.r, shade.g, shade.b);
  };
  for (let at = -reach; at <= reach; at += 0.5) {
    const strength = Number.isInteger(at) ? 0.14 : 0.045;
    for (let along = -reach; along < reach; along += 0.5) {
      if (Math.hypot(at, along) > reach || Math.hypot(at, along + 0.5) > reach) continue;
      push(at, along, strength);
      push(at, along + 0.5, strength);
      push(along, at, strength);
      push(along + 0.5, at, strength);
    }
  }
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.Float32BufferAttribute(positions, 3));
  geometry.setAttribute("color", new THREE.Float32BufferAttribute(colours, 3));
  return new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ vertexColors: true, fog: false }));
}

function makeTag(text, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = 128;
  canvas.height = 64;
  const c = canvas.getContext("2d");
  c.fillStyle = colour;
  c.beginPath();
  c.roundRect(24, 8, 80, 48, 24);
  c.fill();
  c.fillStyle = "#101216";
  c.font = "600 34px system-ui, sans-serif";
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.fillText(text, 64, 34);
  const texture = new THREE.CanvasTexture(canvas);
  texture.colorSpace = THREE.SRGBColorSpace;
  const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map: texture, depthTest: false }));
  sprite.scale.set(0.36, 0.18, 1);
  return sprite;
}
