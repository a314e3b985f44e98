/* A digit that one draws, read by two spiking networks in integers, step by step. */

import { Network, rate } from "../network.js";

const SIDE = 28; // of an image of MNIST, whose digits fill a box of 20
const BOX = 20;
const SHOWN = 100; // time steps of a raster
const OUTPUT = 4; // how much taller the output's rows are
const TRACED = 3; // neurons whose membrane potential is drawn

const page = document.querySelector("#draw");
const pad = page.querySelector("canvas.pad");
const pen = pad.getContext("2d", { willReadFrequently: true });
const status = page.querySelector("[role=status]");
const colour = (name) => getComputedStyle(page).getPropertyValue(name);

let pixels = new Float64Array(SIDE * SIDE);

/* What is drawn as MNIST has it: scaled into a box of 20 pixels, its centre of mass in the middle. */
function centred() {
  const size = pad.width;
  const ink = pen.getImageData(0, 0, size, size).data;
  let [left, top, right, bottom] = [size, size, -1, -1];
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++)
      if (ink[4 * (y * size + x) + 3] > 40) {
        [left, right] = [Math.min(left, x), Math.max(right, x)];
        [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      }
  const values = new Float64Array(SIDE * SIDE);
  if (right < 0) return values;
  const scale = BOX / Math.max(right - left + 1, bottom - top + 1);
  let [mass, across, down] = [0, 0, 0];
  for (let y = top; y <= bottom; y++)
    for (let x = left; x <= right; x++) {
      const one = ink[4 * (y * size + x) + 3];
      [mass, across, down] = [mass + one, across + one * x, down + one * y];
    }
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const small = canvas.getContext("2d");
  small.setTransform(scale, 0, 0, scale, SIDE / 2 - (scale * across) / mass, SIDE / 2 - (scale * down) / mass);
  small.imageSmoothingQuality = "high";
  small.drawImage(pad, 0, 0);
  const image = small.getImageData(0, 0, SIDE, SIDE).data;
  return values.map((_, k) => image[4 * k + 3] / 255);
}

/* Draw with a mouse, a pen or a finger. */
function listen() {
  let last = null;
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * pad.width, ((event.clientY - box.top) / box.height) * pad.height];
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(last, last);
  });
  pad.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const here = place(event);
    stroke(last, here);
    last = here;
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = null));
}

function stroke(from, to) {
  pen.lineWidth = pad.width / 12;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = colour("--pst-color-text-base");
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  pixels = centred();
}

function clear() {
  pen.clearRect(0, 0, pad.width, pad.height);
  pixels = new Float64Array(SIDE * SIDE);
}

/* Lines that look like a digit, in parts of the pad. */
const DIGITS = [
  [[0.5, 0.15], [0.3, 0.3], [0.28, 0.6], [0.42, 0.85], [0.6, 0.83], [0.72, 0.6], [0.7, 0.3], [0.5, 0.15]],
  [[0.56, 0.15], [0.5, 0.5], [0.46, 0.85]],
  [[0.3, 0.3], [0.42, 0.16], [0.62, 0.18], [0.68, 0.34], [0.55, 0.55], [0.3, 0.82], [0.5, 0.78], [0.74, 0.82]],
  [[0.3, 0.2], [0.5, 0.15], [0.65, 0.27], [0.5, 0.46], [0.68, 0.6], [0.62, 0.8], [0.44, 0.86], [0.28, 0.78]],
  [[0.36, 0.15], [0.3, 0.48], [0.5, 0.52], [0.7, 0.48], [0.7, 0.2], [0.7, 0.5], [0.66, 0.86]],
  [[0.7, 0.16], [0.38, 0.18], [0.34, 0.45], [0.55, 0.45], [0.68, 0.6], [0.6, 0.8], [0.4, 0.86], [0.28, 0.78]],
  [[0.6, 0.14], [0.4, 0.36], [0.32, 0.65], [0.42, 0.85], [0.6, 0.82], [0.66, 0.64], [0.52, 0.54], [0.34, 0.66]],
  [[0.28, 0.2], [0.5, 0.2], [0.7, 0.18], [0.56, 0.5], [0.46, 0.86]],
  [[0.6, 0.22], [0.44, 0.16], [0.36, 0.32], [0.6, 0.56], [0.62, 0.76], [0.46, 0.86], [0.36, 0.7], [0.6, 0.42], [0.66, 0.28], [0.58, 0.2]],
  [[0.66, 0.3], [0.5, 0.18], [0.36, 0.32], [0.48, 0.48], [0.66, 0.34], [0.64, 0.6], [0.56, 0.86]],
];

function write(digit) {
  clear();
  const points = DIGITS[digit].map(([x, y]) => [x * pad.width, y * pad.height]);
  points.slice(1).forEach((point, k) => stroke(points[k], point));
}

/* One network and its part of the page. */
class Reader {
  constructor(network, place) {
    Object.assign(this, { network, place, t: 0, fired: [], membranes: [], scores: [], answer: null });
    this.bars = network.classes.map((name) => {
      const row = place.querySelector(".scores").appendChild(document.createElement("li"));
      row.append(Object.assign(document.createElement("b"), { textContent: name }), document.createElement("i"));
      return row.lastChild;
    });
  }

  /* A time step; after the last one the answer stands, and the next sample begins. */
  step(input) {
    const { network } = this;
    if (this.t === network.steps) {
      network.reset();
      this.t = 0;
    }
    network.step(input);
    this.t++;
    this.fired = [...this.fired, network.layers.flatMap((_, k) => Array.from(network.spikes(k)))].slice(-SHOWN);
    const v = Array.from({ length: TRACED }, (_, k) => network.membrane(0, k));
    this.membranes = [...this.membranes, v].slice(-SHOWN);
    if (this.t < network.steps) return;
    this.scores = network.scores.map(Number);
    this.answer = input.some((x) => x) ? network.classes[network.answer] : null;
  }

  show() {
    const high = Math.max(1, ...this.scores);
    this.bars.forEach((bar, k) => {
      bar.style.width = `${(100 * Math.max(0, this.scores[k] ?? 0)) / high}%`;
      bar.classList.toggle("most", this.network.classes[k] === this.answer);
    });
    this.place.querySelector(".answer").textContent = this.answer ?? "–";
    this.raster(this.place.querySelector("canvas.raster"));
    this.traces(this.place.querySelector("canvas.traces"));
  }

  raster(canvas) {
    const ink = fitted(canvas);
    const { layers } = this.network;
    const parts = layers.flatMap(({ neurons }, k) => Array(neurons).fill(k === layers.length - 1 ? OUTPUT : 1));
    const unit = canvas.height / parts.reduce((sum, part) => sum + part);
    const wide = canvas.width / SHOWN;
    const tops = parts.map(((top) => (part) => (top += part) - part)(0));
    ink.fillStyle = colour("--pst-color-primary");
    this.fired.forEach((spikes, t) =>
      spikes.forEach((one, row) => {
        if (one) ink.fillRect(t * wide, tops[row] * unit, Math.max(1, wide - 1), Math.max(1, parts[row] * unit - 1));
      }),
    );
  }

  traces(canvas) {
    const ink = fitted(canvas);
    const tall = canvas.height / TRACED;
    ink.strokeStyle = colour("--pst-color-text-base");
    ink.lineWidth = devicePixelRatio;
    for (let k = 0; k < TRACED; k++) {
      const values = this.membranes.map((v) => v[k]);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      ink.beginPath();
      values.forEach((v, t) => {
        const y = tall * (k + 0.9 - (0.8 * (v - low)) / (high - low || 1));
        ink.lineTo(((t + 0.5) * canvas.width) / SHOWN, y);
      });
      ink.stroke();
    }
  }
}

/* The pen of a canvas, cleared, with as many pixels as it takes on the screen. */
function fitted(canvas) {
  const box = canvas.getBoundingClientRect();
  const [width, height] = [box.width, box.height].map((x) => Math.max(1, Math.round(x * devicePixelRatio)));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const ink = canvas.getContext("2d");
  ink.clearRect(0, 0, width, height);
  return ink;
}

function image(canvas, input) {
  const ink = fitted(canvas);
  const side = canvas.width / SIDE;
  ink.fillStyle = colour("--pst-color-primary");
  input.forEach((one, k) => one && ink.fillRect((k % SIDE) * side, Math.floor(k / SIDE) * side, side, side));
}

const readers = await Promise.all(
  [...page.querySelectorAll("[data-network]")].map(
    async (place) => new Reader(await Network.load(new URL(place.dataset.network, import.meta.url)), place),
  ),
);

let running = !matchMedia("(prefers-reduced-motion: reduce)").matches;
let said = "";

function step() {
  const input = rate(pixels);
  for (const reader of readers) reader.step(input);
  image(page.querySelector("canvas.input"), input);
  for (const reader of readers) reader.show();
  const answers = readers.map(({ place, answer }) => `${place.dataset.name}: ${answer ?? "nothing"}`).join(", ");
  if (answers !== said) status.textContent = said = answers;
}

function frame() {
  if (running) step();
  requestAnimationFrame(frame);
}

page.querySelector(".clear").addEventListener("click", clear);
const pause = page.querySelector(".pause");
const label = () => (pause.textContent = running ? "Pause" : "Go on");
pause.addEventListener("click", () => {
  running = !running;
  label();
});
page.querySelector(".step").addEventListener("click", step);
const examples = page.querySelector(".examples");
DIGITS.forEach((_, digit) => {
  const button = Object.assign(document.createElement("button"), { textContent: digit, type: "button" });
  button.setAttribute("aria-label", `write a ${digit}`);
  button.addEventListener("click", () => write(digit));
  examples.append(button);
});
label();
listen();
write(3);
frame();
page.dataset.ready = "yes";
