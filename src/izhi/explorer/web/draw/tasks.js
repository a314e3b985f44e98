/* What the page can read: networks by the folders of their programs, and recordings of test samples. */

import { Network } from "../network.js";

export const TASKS = {
  digits: {
    title: "Digits",
    networks: { LIF: "lif", Izhikevich: "izhikevich" },
    draws: true,
    stepsPerFrame: 1,
  },
  ecg: {
    title: "Heartbeats",
    about: "Two leads of an electrocardiogram as level crossings, up and down. Each step has a label: the wave of the beat that it is of.",
    networks: { Resonators: "ecg" },
    answersEachStep: true,
    stepsPerFrame: 2,
  },
  activities: {
    title: "Activities",
    about: "What a person with a smartphone does, from its accelerometer and gyroscope.",
    networks: { Resonators: "activities" },
    stepsPerFrame: 0.5,
  },
  "spoken-digits": {
    title: "Spoken digits",
    about: "Sounds as events, a row for each band of frequencies.",
    networks: { Izhikevich: "spoken-digits" },
    stepsPerFrame: 0.25,
  },
};

const here = (path) => new URL(path, import.meta.url);

/* The networks of a task by name. */
export async function networksOf(task) {
  const loaded = Object.entries(task.networks).map(async ([name, folder]) => [name, await Network.load(here(`${folder}/`))]);
  return new Map(await Promise.all(loaded));
}

/* The recordings of a task: inputs of each step, and labels, one or one of each step, where -1 is unknown. */
export async function recordingsOf(name, network) {
  const answer = await fetch(here(`recordings/${name}.json`));
  if (!answer.ok) throw new Error(`recordings/${name}.json: ${answer.status}`);
  const { samples, input_bits } = await answer.json();
  const bits = network.input_bits;
  return samples.map(({ number, inputs, labels }) => {
    network.input_bits = input_bits;
    const steps = network.stepsOf({ inputs });
    network.input_bits = bits;
    const classes = Array.from(atob(labels), (letter) => (letter.charCodeAt(0) << 24) >> 24);
    return { number, steps, labelAt: (t) => network.classes[classes.length > 1 ? classes[t] : classes[0]] };
  });
}
