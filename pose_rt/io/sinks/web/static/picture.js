// The camera's picture with the 2D keypoints on it. Lines are drawn here and not by the run, so they stay sharp at any size.

const INK = "#101216";
const FADED = 0.38;
const REFERENCE = 960; // geometric mean of the sides of 1280x720, for which sizes are written

export class Picture {
  constructor(canvas, panel) {
    this.canvas = canvas;
    this.panel = panel;
    this.context = canvas.getContext("2d", { alpha: false });
    this.look = null;
    this.shown = null; // { head, bitmap }
    new ResizeObserver(() => this.fit()).observe(panel);
  }

  // Give the canvas the largest size with the picture's shape, in device pixels.
  fit() {
    const { w, h } = this.shown ? this.shown.head : { w: 16, h: 9 };
    const style = getComputedStyle(this.panel);
    const narrow = matchMedia("(max-width: 900px)").matches;
    const width = this.panel.clientWidth;
    const height = narrow ? Infinity : this.panel.clientHeight;
    if (!width || style.display === "none") return;
    const scale = Math.min(width / w, height / h);
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [wide, high] = [Math.max(1, Math.round(w * scale * ratio)), Math.max(1, Math.round(h * scale * ratio))];
    if (wide !== this.canvas.width || high !== this.canvas.height) {
      this.canvas.width = wide;
      this.canvas.height = high;
    }
    this.canvas.style.width = `${w * scale}px`;
    this.canvas.style.height = `${h * scale}px`;
    this.draw();
  }

  show(head, bitmap, toggles) {
    const reshaped = !this.shown || this.shown.head.w !== head.w || this.shown.head.h !== head.h;
    if (this.shown) this.shown.bitmap.close();
    this.shown = { head, bitmap };
    this.toggles = toggles;
    if (reshaped) this.fit();
    else this.draw();
  }

  draw() {
    if (!this.shown || !this.look) return;
    const { context: c, canvas } = this;
    const { head, bitmap } = this.shown;
    const scale = canvas.width / head.w;
    const mirror = this.toggles.mirror;
    c.setTransform(mirror ? -1 : 1, 0, 0, 1, mirror ? canvas.width : 0, 0);
    c.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    c.setTransform(scale, 0, 0, scale, 0, 0);
    if (!this.toggles.keypoints) return;
    const skeleton = this.look.skeletons[head.skeleton];
    const unit = Math.max(Math.sqrt(head.w * head.h) / REFERENCE, 0.75 / scale); // never thinner than the screen can show
    for (const person of head.people) {
      if (skeleton) this.drawPerson(person, skeleton, head, unit);
    }
  }

  drawPerson(person, skeleton, head, unit) {
    const c = this.context;
    const flip = (x) => (this.toggles.mirror ? head.w - x : x);
    const points = [];
    for (let j = 0; j < skeleton.joints.length; j++) {
      const [x, y] = [person.xy[2 * j], person.xy[2 * j + 1]];
      points.push(x === null || y === null ? null : [flip(x), y]);
    }
    const seen = points.filter(Boolean);
    const ys = seen.map((p) => p[1]);
    const xs = seen.map((p) => p[0]);
    const size = seen.length ? Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) : 0;
    const limb = Math.min(Math.max(0.0085 * size, 1.15 * unit), 3.4 * unit);
    const sure = points.map((p, j) => p && person.score[j] >= this.look.kptThr);
    if (this.toggles.uncertainty && person.spread) this.drawSpread(points, person.spread, skeleton, limb, size);
    c.globalAlpha = FADED;
    this.drawBones(points, (a, b) => points[a] && points[b] && !(sure[a] && sure[b]), skeleton, limb);
    c.globalAlpha = 1;
    this.drawBones(points, (a, b) => sure[a] && sure[b], skeleton, limb);
    if (limb > 1.0 * unit) this.drawJoints(points, sure, skeleton, limb);
    if (person.box && person.box.every((v) => v !== null)) this.drawTag(person, flip, unit, head);
  }

  drawBones(points, show, skeleton, limb) {
    const c = this.context;
    c.lineCap = "round";
    const bones = skeleton.edges.map((edge, e) => [edge, e]).filter(([[a, b]]) => show(a, b));
    bones.sort(([, e], [, f]) => skeleton.fineEdge[f] - skeleton.fineEdge[e]);
    for (const casing of [true, false]) {
      for (const [[a, b], e] of bones) {
        const fine = skeleton.fineEdge[e];
        c.lineWidth = 2 * (fine ? 0.34 : 0.92) * limb + (casing ? (fine ? 0.6 : 1) * Math.max(limb, 1.4) : 0);
        c.strokeStyle = casing ? INK : this.look.sides[skeleton.edgeSide[e]];
        c.beginPath();
        c.moveTo(...points[a]);
        c.lineTo(...points[b]);
        c.stroke();
      }
    }
  }

  drawJoints(points, sure, skeleton, limb) {
    const c = this.context;
    points.forEach((point, j) => {
      if (!point || !sure[j] || skeleton.fineJoint[j]) return;
      const colour = this.look.sides[skeleton.jointSide[j]];
      for (const [radius, fill] of [[2.05 * limb, INK], [1.75 * limb, colour], [0.85 * limb, "#fafafa"]]) {
        c.fillStyle = fill;
        c.beginPath();
        c.arc(...point, radius, 0, 2 * Math.PI);
        c.fill();
      }
    });
  }

  // A translucent disc of two standard deviations.
  drawSpread(points, spread, skeleton, limb, size) {
    const c = this.context;
    c.globalAlpha = 0.3;
    points.forEach((point, j) => {
      if (!point || skeleton.fineJoint[j] || spread[j] === null) return;
      const radius = Math.min(2 * spread[j], 0.25 * size);
      if (radius <= 1.75 * limb) return;
      c.fillStyle = this.look.sides[skeleton.jointSide[j]];
      c.beginPath();
      c.arc(...point, radius, 0, 2 * Math.PI);
      c.fill();
    });
    c.globalAlpha = 1;
  }

  // The corners of the box and the number of the person, which stays readable in a mirrored picture.
  drawTag(person, flip, unit, head) {
    const c = this.context;
    const [x0, top, x1, bottom] = person.box;
    const [left, right] = [Math.min(flip(x0), flip(x1)), Math.max(flip(x0), flip(x1))];
    const colour = this.look.accents[person.id % this.look.accents.length];
    const arm = Math.min(0.12 * Math.min(right - left, bottom - top), 22 * unit);
    if (arm < 2) return;
    for (const [width, stroke] of [[3.2 * unit, INK], [2 * unit, colour]]) {
      c.lineWidth = width;
      c.strokeStyle = stroke;
      c.beginPath();
      for (const [x, dx] of [[left, 1], [right, -1]]) {
        for (const [y, dy] of [[top, 1], [bottom, -1]]) {
          c.moveTo(x + dx * arm, y);
          c.lineTo(x, y);
          c.lineTo(x, y + dy * arm);
        }
      }
      c.stroke();
    }
    c.font = `600 ${13 * unit}px system-ui, sans-serif`;
    c.textBaseline = "middle";
    c.textAlign = "center";
    const text = String(person.id);
    const [wide, high] = [Math.max(c.measureText(text).width + 12 * unit, 20 * unit), 20 * unit];
    const x = Math.min(Math.max(left, 0), head.w - wide);
    const y = Math.max(top - high - 3 * unit, 0);
    c.fillStyle = colour;
    c.beginPath();
    c.roundRect(x, y, wide, high, high / 2);
    c.fill();
    c.fillStyle = INK;
    c.fillText(text, x + wide / 2, y + high / 2 + 0.5 * unit);
  }
}
