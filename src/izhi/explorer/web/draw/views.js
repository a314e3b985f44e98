/* What is seen of a network: spikes over time, states of some neurons, images. */

export const SHOWN = 100; // time steps of a raster

/* The pen of a canvas, cleared, with as many pixels as it takes on the screen. */
export function fitted(canvas) {
  const box = canvas.getBoundingClientRect();
  const [width, height] = [box.width, box.height].map((x) => Math.max(1, Math.round(x * devicePixelRatio)));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const ink = canvas.getContext("2d");
  ink.clearRect(0, 0, width, height);
  return ink;
}

const known = new Map(); // colours → red, green and blue

/* Red, green and blue of a colour of CSS. */
export function rgb(colour) {
  if (!known.has(colour)) {
    const pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.fillStyle = colour.trim();
    pen.fillRect(0, 0, 1, 1);
    known.set(colour, [...pen.getImageData(0, 0, 1, 1).data.subarray(0, 3)]);
  }
  return known.get(colour);
}

/* Values of neurons, or inputs, over the last time steps: a row each, the newest step on the right. */
export class Raster {
  /* high: the value that is drawn in full colour. */
  constructor(canvas, rows, high = 1) {
    Object.assign(this, { canvas, rows, high });
    this.image = new ImageData(SHOWN, rows);
    this.small = new OffscreenCanvas(SHOWN, rows);
    this.pen = this.small.getContext("2d");
  }

  push(values, [red, green, blue]) {
    const { data } = this.image;
    data.copyWithin(0, 4); // one pixel to the left
    for (let row = 0; row < this.rows; row++) {
      const at = 4 * (row * SHOWN + SHOWN - 1);
      [data[at], data[at + 1], data[at + 2]] = [red, green, blue];
      data[at + 3] = Math.min(255, (255 * values[row]) / this.high);
    }
  }

  draw() {
    this.pen.putImageData(this.image, 0, 0);
    const ink = fitted(this.canvas);
    ink.imageSmoothingEnabled = this.rows > this.canvas.height;
    ink.drawImage(this.small, 0, 0, this.canvas.width, this.canvas.height);
  }
}

/* The states of a few neurons over the last time steps, each scaled to its band; spikes are ticks on top of it. */
export class Traces {
  constructor(canvas, count) {
    Object.assign(this, { canvas, count });
    this.clear();
  }

  clear() {
    this.states = []; // of each step, of each neuron, by name
    this.fired = [];
  }

  push(states, fired) {
    this.states = [...this.states, states].slice(-SHOWN);
    this.fired = [...this.fired, fired].slice(-SHOWN);
  }

  draw(colours) {
    const ink = fitted(this.canvas);
    const band = this.canvas.height / this.count;
    const wide = this.canvas.width / SHOWN;
    const first = SHOWN - this.states.length;
    for (let k = 0; k < this.count; k++) {
      Object.keys(this.states[0]?.[k] ?? {}).forEach((name, number) => {
        const values = this.states.map((one) => one[k][name]);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        ink.strokeStyle = colours[number % colours.length];
        ink.lineWidth = devicePixelRatio * (number ? 1 : 1.4);
        ink.setLineDash(number ? [3 * devicePixelRatio, 2 * devicePixelRatio] : []);
        ink.beginPath();
        values.forEach((value, t) =>
          ink.lineTo((first + t + 0.5) * wide, band * (k + 0.92 - (0.7 * (value - low)) / (high - low || 1))),
        );
        ink.stroke();
      });
      ink.fillStyle = colours.at(-1);
      this.fired.forEach((one, t) => {
        if (one[k]) ink.fillRect((first + t) * wide, band * (k + 0.04), Math.max(2, wide - 1), 0.12 * band);
      });
    }
  }
}

/* An image of side × side values, from 0 to 1, as large as its canvas. */
export function drawImage(canvas, side, values, colour) {
  const ink = fitted(canvas);
  const size = canvas.width / side;
  ink.fillStyle = colour;
  values.forEach((value, k) => {
    if (!value) return;
    ink.globalAlpha = value;
    ink.fillRect((k % side) * size, Math.floor(k / side) * size, size + 0.5, size + 0.5);
  });
  ink.globalAlpha = 1;
}
