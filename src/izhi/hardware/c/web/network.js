/* A spiking network in integers, as WebAssembly. Written by Izhi.

   const network = await Network.load(new URL("digits/", import.meta.url));
   network.reset();
   for (let t = 0; t < network.steps; t++) network.step(rate(pixels));
   network.classes[network.answer]
*/

export class Network {
  /* The network of a folder, whose address ends in a slash. */
  static async load(folder) {
    const [about, code] = await Promise.all(
      ["network.json", "network.wasm"].map(async (name) => {
        const answer = await fetch(new URL(name, folder));
        if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
        return name.endsWith("json") ? answer.json() : answer.arrayBuffer();
      }),
    );
    return new Network(about, (await WebAssembly.instantiate(code)).instance.exports);
  }

  constructor(about, code) {
    Object.assign(this, about); // inputs, steps, classes, layers, encoding, golden and their input_bits, score_bits
    this.code = code;
    this.input = this.bytes(code.izhi_input(), this.inputs);
    code.izhi_reset();
  }

  bytes(address, count) {
    return new Uint8Array(this.code.memory.buffer, address, count);
  }

  /* Begin a sample. */
  reset() {
    this.code.izhi_reset();
  }

  /* One time step: how often each input fires, or its level, 0 to 255. */
  step(x) {
    this.input.set(x);
    this.code.izhi_advance();
  }

  /* Scores since reset; BigInt where they may take more than 32 bits. */
  get scores() {
    const kind = this.score_bits === 32 ? Int32Array : BigInt64Array;
    return Array.from(new kind(this.code.memory.buffer, this.code.izhi_scores(), this.classes.length));
  }

  /* The index of the class. */
  get answer() {
    return this.code.izhi_class();
  }

  /* Spikes of a layer in the last step, 0 or 1; 0 is the first layer. */
  spikes(layer) {
    return this.bytes(this.code.izhi_spikes(layer), this.layers[layer].neurons);
  }

  /* The inputs of a golden sample, an array of each step. */
  stepsOf(sample) {
    const bytes = Uint8Array.from(atob(sample.inputs), (letter) => letter.charCodeAt(0));
    const input = (k) => (this.input_bits === 8 ? bytes[k] : (bytes[k >> 3] >> (k & 7)) & 1);
    return Array.from({ length: this.steps }, (_, t) =>
      Uint8Array.from({ length: this.inputs }, (_, i) => input(t * this.inputs + i)),
    );
  }

  /* v of a neuron after the last step. */
  membrane(layer, neuron) {
    return this.code.izhi_membrane(layer, neuron) / 2 ** this.layers[layer].fraction;
  }

  /* States of a neuron after the last step by name, such as v and u. */
  states(layer, neuron) {
    const named = Object.entries(this.layers[layer].states);
    return Object.fromEntries(
      named.map(([name, fraction], k) => [name, this.code.izhi_state(layer, neuron, k) / 2 ** fraction]),
    );
  }
}

/* Spikes of one step: each input fires with the probability of its value, 0 to 1. */
export function rate(values, random = Math.random) {
  return Uint8Array.from(values, (value) => (random() < value ? 1 : 0));
}
