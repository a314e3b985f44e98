/* Digits that one draws, and recordings, read by spiking networks in integers, step by step. */

import { rate } from "../network.js";
import { Pad, SIDE } from "./pad.js";
import { TASKS, networksOf, recordingsOf } from "./tasks.js";
import { Raster, Traces, drawImage, rgb } from "./views.js";

const TRACED = 3; // neurons whose states are drawn
const FRAME = 1000 / 60; // ms

const page = document.querySelector("#draw");
const status = page.querySelector("[role=status]");
const colour = (name) => getComputedStyle(page).getPropertyValue(`--pst-color-${name}`);

/* An element with attributes and children. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function button(text, name, act) {
  const made = element("button", { type: "button", ...(name && { "aria-label": name }) }, text);
  made.addEventListener("click", act);
  return made;
}

/* One network and its part of the page. */
class Reader {
  constructor(name, network, answersEachStep) {
    Object.assign(this, { name, network, answersEachStep, answer: null, scores: [], right: 0, known: 0 });
    const sizes = [network.inputs, ...network.layers.map(({ neurons }) => neurons)];
    if (sizes.at(-1) !== network.classes.length) sizes.push(network.classes.length); // of a readout that does not fire
    this.answerBox = element("div", { class: "answer" }, "–");
    this.truth = element("p", { class: "truth" });
    this.bars = network.classes.map(() => element("i"));
    const rows = network.classes.map((label, k) => element("li", {}, element("b", {}, label), this.bars[k]));
    this.rasters = network.layers.map(({ neurons }) => new Raster(element("canvas", { class: "raster" }), neurons));
    this.traces = new Traces(element("canvas", { class: "traces" }), TRACED);
    this.caption = element("p");
    this.place = element(
      "section", { "aria-label": name },
      element("h2", {}, name, " ", element("small", {}, sizes.map((size) => size.toLocaleString("en")).join("–"))),
      this.answerBox, this.truth, element("ol", { "aria-label": `scores of ${name}` }, ...rows),
      ...this.rasters.flatMap((raster, k) => [
        element("p", {}, `Spikes of layer ${k + 1}, ${raster.rows} neurons`), raster.canvas,
      ]),
      this.caption, this.traces.canvas,
    );
    for (const raster of this.rasters) raster.canvas.style.height = `${Math.min(9, Math.max(3, raster.rows / 14))}rem`;
    this.follow([0, 1, 2]);
  }

  /* Begin a sample. */
  reset() {
    this.network.reset();
    this.counts = new Uint32Array(this.network.layers[0].neurons);
    [this.right, this.known, this.hasInput] = [0, 0, false];
  }

  /* Draw the states of these neurons of the first layer. */
  follow(neurons) {
    this.followed = neurons;
    this.traces.clear();
    const states = Object.keys(this.network.layers[0].states);
    const names = states.length > 1 ? `${states[0]} (line) and ${states[1]} (dashes)` : states[0];
    this.caption.textContent = `${names} of neurons ${neurons.join(", ")} of layer 1`;
  }

  /* A time step of a sample; label: what is right, or undefined. */
  step(input, isLast, label, ink) {
    const { network } = this;
    network.step(input);
    this.hasInput ||= input.some((x) => x);
    this.rasters.forEach((raster, k) => raster.push(network.spikes(k), ink));
    const fired = network.spikes(0);
    fired.forEach((one, k) => (this.counts[k] += one));
    this.traces.push(
      this.followed.map((neuron) => network.states(0, neuron)),
      this.followed.map((neuron) => fired[neuron]),
    );
    if (!isLast && !this.answersEachStep) return;
    this.scores = network.scores.map(Number);
    this.answer = this.hasInput ? network.classes[network.answer] : null;
    if (label !== undefined) {
      this.known++;
      this.right += label === this.answer;
    }
  }

  /* Follow neurons that fired in the sample: the one that fired most, one between, and one that fired least. */
  followSome() {
    const fired = [...this.counts.keys()].filter((k) => this.counts[k]);
    if (fired.length < TRACED) return;
    fired.sort((a, b) => this.counts[b] - this.counts[a]);
    this.follow(Array.from({ length: TRACED }, (_, k) => fired[Math.round((k * (fired.length - 1)) / (TRACED - 1))]));
  }

  show(label) {
    const [low, high] = [Math.min(0, ...this.scores), Math.max(1, ...this.scores)];
    this.bars.forEach((bar, k) => {
      bar.style.width = `${Math.max(0, (100 * ((this.scores[k] ?? low) - low)) / (high - low))}%`;
      bar.classList.toggle("most", this.network.classes[k] === this.answer);
    });
    this.answerBox.textContent = this.answer ?? "–";
    const share = this.answersEachStep && this.known ? `, ${((100 * this.right) / this.known).toFixed(0)} % of steps right` : "";
    this.truth.textContent = label === undefined ? "" : `it is ${label}${share}`;
    for (const raster of this.rasters) raster.draw();
    this.traces.draw([colour("text-base"), colour("accent"), colour("primary")]);
  }
}

/* A task: its networks, what they are given, and the time step. */
class Player {
  constructor(name, readers, recordings) {
    Object.assign(this, { task: TASKS[name], readers, recordings, t: 0, recording: null, hasNews: true });
    const [{ network }] = readers;
    this.steps = network.steps;
    const high = Math.max(...recordings.flatMap(({ steps }) => steps.map((x) => Math.max(...x))));
    this.input = element("canvas", { class: this.task.draws ? "input" : "raster" });
    this.inputRaster = this.task.draws ? null : new Raster(this.input, network.inputs, high);
    if (!this.task.draws) this.play(recordings[0]);
    for (const reader of readers) reader.reset();
  }

  /* Give a recording from its beginning; null for what is drawn. */
  play(recording) {
    Object.assign(this, { recording, t: 0, hasNews: true });
    for (const reader of this.readers) reader.reset();
  }

  get label() {
    return this.recording?.labelAt(Math.max(0, this.t - 1));
  }

  step() {
    if (this.t === this.steps) {
      for (const reader of this.readers) {
        if (this.hasNews) reader.followSome();
        reader.reset();
      }
      Object.assign(this, { t: 0, hasNews: false });
    }
    this.given = this.recording ? this.recording.steps[this.t] : rate(pad.pixels);
    this.t++;
    const ink = rgb(colour("primary"));
    for (const reader of this.readers) reader.step(this.given, this.t === this.steps, this.label, ink);
    this.inputRaster?.push(this.given, ink);
  }

  show() {
    if (this.inputRaster) this.inputRaster.draw();
    else drawImage(this.input, SIDE, this.given ?? [], colour("primary"));
    for (const reader of this.readers) reader.show(this.label);
    if (this.task.answersEachStep && this.t < this.steps) return; // a screen reader would not come to an end
    const said = this.readers.map(({ name, answer }) => `${name}: ${answer ?? "nothing"}`).join(", ");
    if (status.textContent !== said) status.textContent = said;
  }
}

const pad = new Pad(
  element("canvas", { class: "pad", width: 280, height: 280, "aria-label": "draw a digit here", role: "img" }),
  () => colour("text-base"),
  () => player?.play(null),
);
let player = null;
let running = !matchMedia("(prefers-reduced-motion: reduce)").matches;
const players = {};

const pause = button("", null, () => {
  running = !running;
  pause.textContent = running ? "Pause" : "Go on";
});
pause.textContent = running ? "Pause" : "Go on";
const once = button("One step", null, () => {
  player.step();
  player.show();
});
const speed = element("select", { "aria-label": "speed" });
for (const [name, factor] of [["slow motion", 0.1], ["normal speed", 1], ["fast", 4]])
  speed.append(Object.assign(element("option", { value: factor }, name), { selected: factor === 1 }));
const chooser = element("div", { class: "buttons", role: "group", "aria-label": "what the networks read" });
const source = element("section", { class: "source", "aria-label": "input" });
const networks = element("div", { class: "networks" });

/* A recording as a button: a digit as its image, others by their labels. */
function offered(recording, number, draws) {
  const label = player.task.answersEachStep ? `recording ${number + 1}` : recording.labelAt(0);
  const choose = () => {
    player.play(recording);
    for (const one of source.querySelectorAll(".recordings button")) one.setAttribute("aria-pressed", one === made);
    if (draws) pad.pen.clearRect(0, 0, pad.canvas.width, pad.canvas.height);
  };
  const made = button(draws ? "" : label, draws ? `recorded ${label}` : null, choose);
  made.setAttribute("aria-pressed", player.recording === recording);
  if (!draws) return made;
  const picture = element("canvas", { class: "thumbnail" });
  const mean = Array.from({ length: SIDE * SIDE }, (_, k) =>
    recording.steps.reduce((sum, x) => sum + x[k], 0) / recording.steps.length);
  made.append(picture);
  requestAnimationFrame(() => drawImage(picture, SIDE, mean, colour("text-base")));
  return made;
}

/* Put the parts of the player in the page. */
function arrange() {
  const { task, recordings, readers, input } = player;
  const offers = element("div", { class: "buttons recordings", role: "group", "aria-label": "recordings" },
    ...recordings.map((recording, k) => offered(recording, k, task.draws)));
  const digits = task.draws
    ? [
        pad.canvas,
        element("div", { class: "buttons" }, button("Clear", null, () => pad.clear()),
          ...Array.from({ length: 10 }, (_, digit) => button(digit, `write a ${digit}`, () => pad.write(digit)))),
        element("p", {}, "Or recorded test samples, as spikes"),
      ]
    : [element("p", {}, task.about), element("p", {}, "Recorded test samples")];
  const caption = task.draws ? "Spikes of the input in this step" : `Inputs over time, ${readers[0].network.inputs} of them`;
  source.replaceChildren(...digits, offers, element("p", {}, caption), input, status);
  networks.replaceChildren(...readers.map(({ place }) => place));
  networks.style.setProperty("--columns", readers.length);
}

async function open(name) {
  if (!players[name]) {
    const made = [...(await networksOf(TASKS[name]))];
    const readers = made.map(([title, network]) => new Reader(title, network, TASKS[name].answersEachStep));
    players[name] = new Player(name, readers, await recordingsOf(name, readers[0].network));
  }
  player = players[name];
  for (const one of chooser.children) one.setAttribute("aria-pressed", one.dataset.task === name);
  arrange();
  status.textContent = "";
  player.show();
}

let before = performance.now();
let due = 0;

function frame(at) {
  requestAnimationFrame(frame);
  const frames = Math.min(4, (at - before) / FRAME); // none are made up for after a pause
  before = at;
  if (!running || page.offsetParent === null) return;
  due += frames * player.task.stepsPerFrame * Number(speed.value);
  if (due < 1) return;
  for (; due >= 1; due--) player.step();
  player.show();
}

for (const [name, { title }] of Object.entries(TASKS)) {
  const made = button(title, null, () => open(name));
  made.dataset.task = name;
  chooser.append(made);
}
page.prepend(element("div", { class: "bar" }, chooser, element("div", { class: "buttons" }, pause, once, speed)), source, networks);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => pad.recolour());
await open("digits");
pad.write(3);
requestAnimationFrame(frame);
page.dataset.ready = "yes";
