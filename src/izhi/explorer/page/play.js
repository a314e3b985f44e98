/* Time passes: a line moves over the traces, a point over the phase planes. No frame asks the server. */

import { bokeh } from "./explorer.js";

const LASTS = 10_000; // ms from the first to the last moment, however long the traces are

const button = document.querySelector("#play");
const slider = document.querySelector("#time");
const clock = document.querySelector("#clock");
const model = await bokeh();
const range = model.get_model_by_name("time");
const now = model.get_model_by_name("now");
const neurons = [...document.querySelectorAll("[data-neuron]")].map(({ dataset }) => ({
  trace: model.get_model_by_name(`${dataset.neuron}-trace`),
  point: model.get_model_by_name(`${dataset.neuron}-point`),
}));

let isPlaying = false;
let moment = 0; // 0 to 1
let before = null;

/* Put the line and the points where the moment is. */
function show() {
  const time = range.start + moment * (range.end - range.start);
  slider.value = 1000 * moment;
  clock.textContent = time.toFixed(0);
  slider.setAttribute("aria-valuetext", time.toFixed(0));
  now.data = { time: [time] };
  for (const { trace, point } of neurons) {
    if (!point) continue; // of a neuron without a phase plane
    const times = trace.data.time;
    const step = times.length > 1 ? times[1] - times[0] : 1;
    const k = Math.min(times.length - 1, Math.round(time / step));
    point.data = { x: [trace.data.plane_x[k]], y: [trace.data.plane_y[k]] };
  }
}

function frame(at) {
  if (!isPlaying) return;
  if (button.offsetParent !== null) {
    moment = (moment + (before === null ? 0 : at - before) / LASTS) % 1;
    show();
  }
  before = at;
  requestAnimationFrame(frame);
}

button.addEventListener("click", () => {
  isPlaying = !isPlaying;
  button.textContent = isPlaying ? "Pause" : "Play";
  before = null;
  if (isPlaying) requestAnimationFrame(frame);
});
slider.addEventListener("input", () => {
  moment = slider.value / 1000;
  show();
});
for (const { trace } of neurons)
  trace.change.connect(() => {
    if (!isPlaying) show();
  });
range.change.connect(show);
show();
document.body.dataset.plays = "yes";
